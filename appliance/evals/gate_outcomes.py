"""Answers of a gate: the encrypted outcomes of a job, and those of the baselines.

Rules: a baseline is measured each time; an incumbent that answers nothing fails on every item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused
from appliance.evals import pairs, scoring
from appliance.evals.asking import guessed
from appliance.evals.baselines import Baseline
from appliance.evals.gate_subject import NONE, GateSubject
from appliance.evals.outcomes import Outcome
from appliance.evals.outcomes import parse as parse_outcome
from appliance.evals.packs.items import FILES, PINS
from appliance.looks.answers import LookFiles, SealedAnswers
from appliance.trust.statements.evaluation import Pack

PAIRS: Final = "pairs.sealed"
CANDIDATE, INCUMBENT = 0, 1


@dataclass(frozen=True)
class GateMeasured:
    """Outcomes of a gate; regressions and packs by name.

    Attributes:
        agreed: items whose label nobody was asked for.
    """

    candidate: tuple[Outcome, ...]
    incumbent: tuple[Outcome, ...]
    advice: Mapping[str, tuple[Outcome, ...]]
    packs: Mapping[str, Pack]
    agreed: frozenset[str] = frozenset()


def answers_file(files: LookFiles, side: int) -> SealedAnswers[Outcome]:
    """One side's answers."""
    return files.answers(f"{side:03}.sealed", parse_outcome)


def pack_file(files: LookFiles, pack: str) -> SealedAnswers[Outcome]:
    """A pack's answers."""
    return files.answers(f"pack-{pack}.sealed", parse_outcome)


def write_pairs(files: LookFiles, found: Sequence[pairs.ItemPair]) -> None:
    """Keep the verdict's outcomes, in place of an earlier try."""
    (files.directory / PAIRS).unlink(missing_ok=True)
    files.answers(PAIRS, pairs.parse).append(found)


def read_pairs(directory: Path, job_id: int, kek: bytes) -> list[pairs.ItemPair]:
    """The outcomes of a finished gate.

    Raises:
        EvaluationRefused: `report_missing`, `outcomes_invalid`.
    """
    place = directory / str(job_id)
    if not (place / PAIRS).exists():
        raise EvaluationRefused("report_missing", f"Job {job_id} is no gate, or is not done.")
    return LookFiles(place, kek).answers(PAIRS, pairs.parse).read()


def learned(baseline: Baseline, subject: GateSubject, items: Sequence[Item]) -> list[Outcome]:
    """A baseline's outcomes."""
    answered = baseline.answers([item.text for item in items])
    return [
        guessed(subject.loaded.task, item, guess, seconds)
        for item, (guess, seconds) in zip(items, answered, strict=True)
    ]


def packed(name: str, outcomes: Sequence[Outcome]) -> Pack:
    """Summarise a pack."""
    right = sum(not outcome.wrong for outcome in outcomes)
    return Pack(right, len(outcomes), PINS[FILES[name]])


def unanswered(subject: GateSubject, item: Item) -> Outcome:
    """The outcome of an incumbent that answers nothing."""
    expected = scoring.expected_of(subject.loaded.task, item)
    stratum = item.stratum or ""
    return Outcome(item.id, item.group, expected, None, 0, 1, stratum=stratum, failure=NONE)
