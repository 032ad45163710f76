"""Tunings side by side: differing choices and their results, item by item. Pure.

Rules: intervals of several comparisons hold together (Bonferroni); two tunings are compared on the
items of dev that both answered, of one dataset, by the same rules, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from appliance.evals.summary import Comparison, compare
from appliance.tuning.dev_outcomes import DevOutcomes
from appliance.wire.admin.results import TrainingRecord

TUNED: Final = "tuned model"
_MODEL: Final = "model"
_DIGITS: Final = 12
"""Of a digest that is shown."""


@dataclass(frozen=True)
class TuningDifference:
    """A differing choice or result: its value in each tuning."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class ComparedTuning:
    """A compared tuning.

    Attributes:
        best: kind of the best candidate on dev.
        kept: its outcomes, or why there are none, as the rest of a sentence about it.
    """

    number: int
    best: str
    kept: DevOutcomes | str


@dataclass(frozen=True)
class PairedTunings:
    """One tuning minus another, on the same items of dev.

    Attributes:
        reason: why they are not comparable; "" where they are.
        found: comparisons by subject: the tuned models; the best candidates, where one is of
            another kind; each field of the tuned models.
    """

    tuning: int
    against: int
    reason: str = ""
    items: int = 0
    left_out: int = 0
    groups: int = 0
    found: tuple[tuple[str, Comparison], ...] = ()


def differing(results: Sequence[TrainingRecord]) -> list[TuningDifference]:
    """Differences of base, task, data, settings and versions."""
    chosen = [_chosen(result) for result in results]
    names = dict.fromkeys(name for each in chosen for name in each)
    found = [
        TuningDifference(name, tuple(each.get(name, "-") for each in chosen)) for name in names
    ]
    return [each for each in found if len(set(each.values)) > 1]


def same_dev(results: Sequence[TrainingRecord]) -> bool:
    """True for as many items of one dataset: the same."""
    return len({(each.data.digest, each.data.dev) for each in results}) == 1


def paired(sides: Sequence[ComparedTuning]) -> list[PairedTunings]:
    """Each tuning minus the first."""
    first, *others = sides
    confidence = 1 - 0.05 / len(others)
    return [_pair(one, first, confidence) for one in others]


def _pair(one: ComparedTuning, first: ComparedTuning, confidence: float) -> PairedTunings:
    pair = PairedTunings(one.number, first.number)
    ours, theirs = one.kept, first.kept
    if isinstance(ours, str):
        return replace(pair, reason=f"tuning {one.number} {ours}")
    if isinstance(theirs, str):
        return replace(pair, reason=f"tuning {first.number} {theirs}")
    if reason := _apart(ours, theirs):
        return replace(pair, reason=reason)
    shared = set(ours.items) & set(theirs.items)

    def held(kind: str, other: str, field: str = "") -> Comparison:
        mine, others = ours.outcomes(kind, shared, field), theirs.outcomes(other, shared, field)
        return compare(kind, mine, other, others, confidence)

    found = [(TUNED, held(_MODEL, _MODEL))]
    if (one.best, first.best) != (_MODEL, _MODEL):
        names = one.best if one.best == first.best else f"{one.best}, {first.best}"
        found.append((f"best: {names}", held(one.best, first.best)))
    fields = theirs.fields.get(_MODEL, {}).keys() & ours.fields.get(_MODEL, {}).keys()
    found += [(f"field {name}", held(_MODEL, _MODEL, name)) for name in sorted(fields)]
    return replace(
        pair,
        items=len(shared),
        left_out=len({*ours.items, *theirs.items}) - len(shared),
        groups=found[0][1].difference.groups,
        found=tuple(found),
    )


def _apart(ours: DevOutcomes, theirs: DevOutcomes) -> str:
    """Empty where both were measured on the same."""
    if (ours.data, ours.split) != (theirs.data, theirs.split):
        return f"their datasets differ: {ours.data[:_DIGITS]} and {theirs.data[:_DIGITS]}"
    if (ours.task, ours.rules) != (theirs.task, theirs.rules):
        return "their tasks judge answers by other rules"
    if not set(ours.items) & set(theirs.items):
        return "they answered no item of dev in common"
    return ""


def _chosen(result: TrainingRecord) -> dict[str, str]:
    base, task, data = result.base, result.task, result.data
    settings = {name: str(value) for name, value in result.settings.items()}
    return {
        "base": f"{base.id} {base.gguf_sha256[:_DIGITS]}",
        "task": f"{task.id} version {task.version} {task.digest[:_DIGITS]}",
        "dataset": data.digest[:_DIGITS],
        "rows": str(data.train),
        "rows of dev": str(data.dev),
        **settings,
        "seeds": str(len(result.seeds)),
        "threads": str(result.threads),
        **result.versions,
    }
