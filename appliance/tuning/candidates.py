"""Candidates of a task after a tuning: for labels a classifier, the tuned model, or their blend.

Rules: all learned and are measured on the same items; the blend's weight has the least log loss on
dev; of equals the simplest is best; another form has the model only, next to the untuned one; these
numbers chose, so they promise nothing: the gate does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Literal

from appliance.datasets.items import Item
from appliance.evals import asking, scoring
from appliance.evals.asking import CandidateReply
from appliance.evals.outcomes import Outcome
from appliance.evals.summary import compare, summarise
from appliance.statistics.labels import blended, fitted_weight
from appliance.tasks import labelled
from appliance.tasks.classifiers.document import write
from appliance.tasks.classifiers.linear import fit_linear
from appliance.tasks.definition import LabelForm, Task
from appliance.tasks.inputs import checked
from appliance.tasks.loaded import LoadedTask
from appliance.wire.admin.results import TunedCandidate

Kind = Literal["classifier", "model", "blend"]
ORDER: Final[tuple[Kind, ...]] = ("classifier", "model", "blend")
"""From the simplest one on."""
UNTUNED: Final = "untuned"
"""The base with the same prompts; it is compared with, and not offered."""


@dataclass(frozen=True)
class DevCandidate:
    """A candidate on dev.

    Attributes:
        weight: of the model, in a blend.
    """

    kind: Kind
    outcomes: tuple[Outcome, ...]
    weight: float | None = None


@dataclass(frozen=True)
class Candidates:
    """All candidates.

    Attributes:
        found: the simplest first.
        classifier: the coefficients' file; b"" where no classifier can be learned.
        untuned: outcomes of the untuned model; empty where not measured.
    """

    found: tuple[DevCandidate, ...]
    classifier: bytes = b""
    untuned: tuple[Outcome, ...] = ()

    @property
    def best(self) -> Kind:
        each = {one.kind: _value(one) for one in self.found}
        return max(each, key=lambda kind: (each[kind], -ORDER.index(kind)))

    def told(self) -> list[TunedCandidate]:
        """Each, compared with the first.

        The first is the untuned model where measured, else the simplest candidate.
        """
        named = [(one.kind, one.outcomes, one.weight) for one in self.found]
        every = [(UNTUNED, self.untuned, None), *named] if self.untuned else named
        first, theirs, _ = every[0]
        rows = []
        for kind, outcomes, weight in every:
            quality = summarise(kind, outcomes, 0.0).quality
            row = TunedCandidate(
                kind=kind,
                value=quality.value,
                interval=quality.interval,
                plain=sum(o.score for o in outcomes) / len(outcomes),
            )
            if weight is not None:
                row = row.having(weight=weight)
            if kind != first:
                held = compare(kind, outcomes, first, theirs)
                row = row.having(
                    against=first,
                    difference=held.difference.value,
                    difference_interval=held.difference.interval,
                    p_value=held.p_value,
                )
            rows.append(row)
        return rows


def candidates(
    loaded: LoadedTask,
    learned: Sequence[Item],
    dev: Sequence[Item],
    model: Sequence[Outcome],
    shares: Sequence[Sequence[float]],
    untuned: Sequence[Outcome] = (),
) -> Candidates:
    """Outcomes are on `dev`.

    Args:
        learned: items that the model was tuned to.
        model: its outcomes as it serves.
        shares: its distributions there; empty for another form.
    """
    tuned = DevCandidate("model", tuple(model))
    task, output = loaded.task, loaded.task.output
    if not isinstance(output, LabelForm) or not shares:
        return Candidates((tuned,), untuned=tuple(untuned))
    labels = [scoring.expected_of(task, item) for item in learned]
    if set(labels) != set(output.labels):  # a classifier could never give the others
        return Candidates((tuned,))
    fitted = fit_linear([_text(task, item) for item in learned], labels)
    judged = [labelled.judged(fitted, output, _text(task, item)) for item in dev]
    right = [output.labels.index(scoring.expected_of(task, item)) for item in dev]
    weight = fitted_weight(shares, judged, right)
    both = [blended(one, other, weight) for one, other in zip(shares, judged, strict=True)]
    return Candidates(
        (
            DevCandidate("classifier", labelled_outcomes(task, output, dev, judged)),
            tuned,
            DevCandidate("blend", labelled_outcomes(task, output, dev, both), weight),
        ),
        write(fitted),
    )


def outcome(
    task: Task, item: Item, answer: str | None, shares: Sequence[tuple[str, float]] = ()
) -> Outcome:
    """Score an answer; `shares` are labels' probabilities."""
    return asking.outcome(task, item, answer, CandidateReply(answer, "", 0.0, shares=shares))


def labelled_outcomes(
    task: Task, output: LabelForm, items: Sequence[Item], shares: Sequence[Sequence[float]]
) -> tuple[Outcome, ...]:
    """The outcomes of the likeliest labels."""
    named = [list(zip(output.labels, one, strict=True)) for one in shares]
    return tuple(
        outcome(task, item, max(each, key=itemgetter(1))[0], each)  # the first of equals
        for item, each in zip(items, named, strict=True)
    )


def _text(task: Task, item: Item) -> str:
    return labelled.text_of(task, checked(task, scoring.input_of(task, item)))


def _value(one: DevCandidate) -> float:
    return summarise(one.kind, one.outcomes, 0.0).quality.value
