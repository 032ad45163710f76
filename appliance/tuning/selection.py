"""Chooses a file of a model that is small enough and not worse. Pure.

Rules:
- A file passes when its distributions are near those of the source and the task's metric is not
  worse by more than the margin, over groups.
- Divergence rejects broken files; it cannot rank nearly lossless ones (arXiv 2606.19558).
- A file errs as often as a first look of a gate at alpha 5 % (`ALPHA`), so that picking it is no
  milder than the gate that follows.

Sources: `statistics.verdict`; flips besides the metric: Dutta et al., arXiv 2407.09141, 2024.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.engine.quantized import FileComparison
from appliance.evals.outcomes import Outcome
from appliance.statistics import groups, verdict
from appliance.statistics.groups import GroupMean
from appliance.text import many
from appliance.wire.admin.results import TypeMeasured

ALPHA: Final = 0.035
"""Probability that a file which is worse by the margin passes: 0.7 of 5 %."""
NOISE_KLD: Final = 0.01
"""Nats: what kernels of other types make of the same weights here, 0.005 to 0.008."""
MOST_KLD: Final = 0.1
"""Nats a token beyond which a file is another model, whatever this task shows of it."""


@dataclass(frozen=True)
class Made:
    """One file, measured next to its source.

    Attributes:
        tokens_s: of prompts and answers of dev.
        plain: the same type without an importance matrix, if made.
    """

    type: str
    size: int
    tokens_s: float
    compared: FileComparison
    outcomes: tuple[Outcome, ...]
    importance: bool = False
    plain: FileComparison | None = None


@dataclass(frozen=True)
class PickVerdict:
    """Verdict on a quantised file.

    Attributes:
        reason: why it does not pass; "" where it does.
    """

    made: Made
    flips: float
    difference: GroupMean
    verdict: verdict.Outcome
    missing: int | None
    reason: str = ""


def judged(made: Made, source: Sequence[Outcome], margin: float, most_kld: float) -> PickVerdict:
    """Compare a file with its source, item by item."""
    pairs = list(zip(made.outcomes, source, strict=True))
    flips = sum(one.answer != other.answer for one, other in pairs) / len(pairs)
    found = groups.paired_difference(
        [one.score for one, _ in pairs],
        [other.score for _, other in pairs],
        [one.group for one, _ in pairs],
        1 - 2 * ALPHA,
    )
    said = verdict.not_worse(found, margin, ALPHA)
    if not made.compared.kld <= most_kld:  # one that is no number fails, too
        reason = f"its distributions are {made.compared.kld:.3f} nats from those of the source"
        return PickVerdict(made, flips, found, "fail", 0, reason)
    reason = {
        "pass": "",
        "fail": f"it is worse by more than {margin:.3f}",
        "underpowered": f"{many(found.groups, 'group')} cannot show that it is not worse",
    }[said.outcome]
    missing = said.needed and max(1, said.needed.likely - found.groups)
    return PickVerdict(made, flips, found, said.outcome, missing, reason)


def recommended(rows: Sequence[PickVerdict]) -> str | None:
    """The smallest file that passes; None where none does."""
    passing = [row.made for row in rows if row.verdict == "pass"]
    return min(passing, key=lambda made: (made.size, made.type)).type if passing else None


def ranks(rows: Sequence[PickVerdict]) -> dict[str, int | None]:
    """Places by divergence; None for types within the noise."""
    noise = max([NOISE_KLD, *(row.made.compared.noise for row in rows)])
    ordered = sorted(rows, key=lambda row: row.made.compared.kld)
    return {
        row.made.type: None if row.made.compared.kld <= noise else place
        for place, row in enumerate(ordered, 1)
    }


def told(rows: Sequence[PickVerdict]) -> list[TypeMeasured]:
    """The table, for the record and the result."""
    places = ranks(rows)
    return [
        TypeMeasured(
            type=row.made.type,
            mib=round(row.made.size / (1 << 20), 1),
            tokens_s=round(row.made.tokens_s, 1),
            importance=row.made.importance,
            kld=row.made.compared.kld,
            kld_plain=row.made.plain.kld if row.made.plain else None,
            noise_kld=row.made.compared.noise,
            rank=places[row.made.type],
            nats=row.made.compared.nats,
            source_nats=row.made.compared.source_nats,
            same_top=row.made.compared.same_top,
            flips=row.flips,
            metric=sum(o.score for o in row.made.outcomes) / len(row.made.outcomes),
            difference=row.difference.value,
            interval=row.difference.interval,
            groups=row.difference.groups,
            groups_missing=row.missing,
            verdict=row.verdict,
            reason=row.reason,
        )
        for row in rows
    ]
