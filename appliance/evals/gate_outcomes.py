"""What was answered in a gate: the encrypted outcomes of a job, and those of the baselines.

Rules: outcomes lie encrypted from the first; a baseline is measured from the beginning each time;
an incumbent that answers nothing fails on every item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused
from appliance.evals import pairs, scoring
from appliance.evals.baselines import Baseline
from appliance.evals.gate_subject import NONE, GateParts, Subject
from appliance.evals.outcomes import Outcome
from appliance.evals.outcomes import parse as parse_outcome
from appliance.evals.packs.items import FILES, PINS
from appliance.evals.sealed_lines import SealedLines, alias, key_of
from appliance.trust.statements.evaluation import Pack

PAIRS: Final = "pairs.sealed"
CANDIDATE, INCUMBENT = 0, 1


@dataclass(frozen=True)
class Measured:
    """The outcomes of candidate and incumbent, of the regressions that could be learned, by name,
    and what the candidate's model did on the packs.

    Attributes:
        agreed: the items whose label nobody was asked for.
    """

    candidate: tuple[Outcome, ...]
    incumbent: tuple[Outcome, ...]
    advice: Mapping[str, tuple[Outcome, ...]]
    packs: Mapping[str, Pack]
    agreed: frozenset[str] = frozenset()


class Files:
    """The outcomes of a job, encrypted."""

    def __init__(self, parts: GateParts, job_id: int) -> None:
        self._directory = parts.directory / str(job_id)
        self._key = key_of(self._directory, parts.kek())
        self._open = {n: self._lines(f"{n:03}.sealed") for n in (CANDIDATE, INCUMBENT)}
        self._packs = {name: self._lines(f"pack-{name}.sealed") for name in FILES}

    @property
    def key(self) -> bytes:
        """Of this job's files."""
        return self._key

    def alias(self, item: str) -> str:
        """How the log names an item of the sealed split: by the key of this job."""
        return alias(self._key, item)

    def _lines(self, name: str) -> SealedLines:
        return SealedLines(self._directory / name, self._key)

    def read(self, part: int | str) -> list[Outcome]:
        """What one side answered so far, or its model to a pack."""
        return [parse_outcome(line) for line in self._of(part).read()]

    def append(self, part: int | str, outcomes: Sequence[Outcome]) -> None:
        """Add outcomes and make them durable."""
        self._of(part).append([outcome.line().rstrip(b"\n") for outcome in outcomes])

    def _of(self, part: int | str) -> SealedLines:
        return self._packs[part] if isinstance(part, str) else self._open[part]

    def write_pairs(self, found: Sequence[pairs.Pair]) -> None:
        """Keep what the verdict follows from, in place of an earlier try."""
        (self._directory / PAIRS).unlink(missing_ok=True)
        lines = self._lines(PAIRS)
        lines.append([each.line() for each in found])


def read_pairs(directory: Path, job_id: int, kek: bytes) -> list[pairs.Pair]:
    """The outcomes of a gate that is done, for the auditor's export.

    Raises:
        EvaluationRefused: `report_missing`, `outcomes_invalid`.
    """
    place = directory / str(job_id)
    if not (place / PAIRS).exists():
        raise EvaluationRefused("report_missing", f"Job {job_id} is no gate, or is not done.")
    return [pairs.parse(line) for line in SealedLines(place / PAIRS, key_of(place, kek)).read()]


def learned(baseline: Baseline, subject: Subject, items: Sequence[Item]) -> list[Outcome]:
    """The outcomes of a baseline; it is quick, so it is always measured from the beginning."""
    answered = baseline.answers([item.text for item in items])
    return [
        _outcome(subject, item, answer, seconds)
        for item, (answer, _, seconds) in zip(items, answered, strict=True)
    ]


def _outcome(subject: Subject, item: Item, answer: str, seconds: float) -> Outcome:
    expected = scoring.expected_of(subject.loaded.task, item)
    score = scoring.score(subject.loaded.task, expected, answer)
    return Outcome(
        item=item.id,
        group=item.group,
        expected=expected,
        answer=answer,
        micros=round(score * 1e6),
        microseconds=max(1, round(seconds * 1e6)),
        stratum=item.stratum or "",
    )


def packed(name: str, outcomes: Sequence[Outcome]) -> Pack:
    """What a model's outcomes on a pack come to."""
    right = sum(outcome.micros == pairs.MILLION for outcome in outcomes)
    return Pack(right, len(outcomes), PINS[FILES[name]])


def unanswered(subject: Subject, item: Item) -> Outcome:
    """The outcome of an incumbent that answers nothing."""
    expected = scoring.expected_of(subject.loaded.task, item)
    stratum = item.stratum or ""
    return Outcome(item.id, item.group, expected, None, 0, 1, stratum=stratum, failure=NONE)
