"""Labelling from zero: two people label the same items, each without seeing the other's labels.

Rules: pure; until both have labelled every item nothing is shown that depends on the other's
labels, and each may change their own; then differences are settled by a third person, who sees no
label either, or by the two together. Kappa compares the labels that the two gave by themselves. An
item put aside comes last and still needs a label.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from appliance.errors import DatasetRefused
from appliance.statistics.agreement import Kappa, cohen_kappa
from appliance.text import visible
from appliance.types import JsonValue

RATERS: Final = 2
MOST_LABELS: Final = 256
MOST_ITEMS: Final = 10_000
_LONGEST_NAME: Final = 330
"""Room for a verified person with the name of the login service."""
_LONGEST_LABEL: Final = 200


class Given(NamedTuple):
    """One label of one person.

    Attributes:
        together: whether the two raters settled a difference with it.
    """

    item: str
    rater: str
    label: str
    together: bool = False


Reason: TypeAlias = Literal["unreadable", "no_label_fits", "several_fit", "not_my_field"]
"""Why an item is put aside; no free text, which would have to be erased with the item."""


class PutAside(NamedTuple):
    """An item that a person has put aside, and the reason."""

    item: str
    rater: str
    reason: Reason


class RaterDifference(NamedTuple):
    """Labels are in the raters' order."""

    item: str
    said: tuple[str, str]


@dataclass(frozen=True)
class Labelling:
    """Items in their order, labels and items put aside by time."""

    items: tuple[str, ...]
    labels: tuple[str, ...]
    raters: tuple[str, str]
    given: tuple[Given, ...] = ()
    aside: tuple[PutAside, ...] = ()
    _said: dict[str, dict[str, str]] = field(init=False, compare=False, repr=False)
    _together: dict[str, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        said: dict[str, dict[str, str]] = {name: {} for name in self.raters}
        for given in self.given:
            if not given.together:
                said.setdefault(given.rater, {})[given.item] = given.label
        together = {given.item: given.label for given in self.given if given.together}
        object.__setattr__(self, "_said", said)
        object.__setattr__(self, "_together", together)

    @property
    def done(self) -> dict[str, int]:
        return {name: len(said) for name, said in self._said.items()}

    @property
    def compared(self) -> bool:
        return all(len(self._said[name]) == len(self.items) for name in self.raters)

    def differences(self) -> tuple[RaterDifference, ...]:
        """Unsettled items. Raises DatasetRefused (`labels_unfinished`)."""
        settled = self.answers()
        return tuple(pair for pair in self._differences() if pair.item not in settled)

    def kappa(self) -> Kappa:
        """Raises DatasetRefused (`labels_unfinished`, `label_queue_empty`)."""
        self._demand_compared()
        if not self.items:
            raise DatasetRefused("label_queue_empty", "All items of the queue were erased.")
        first, second = (self._said[name] for name in self.raters)
        return cohen_kappa([first[i] for i in self.items], [second[i] for i in self.items])

    def answers(self) -> dict[str, str]:
        """Agreed upon, or decided afterwards. Raises DatasetRefused (`labels_unfinished`)."""
        self._demand_compared()
        first, second = (self._said[name] for name in self.raters)
        found = {item: label for item, label in first.items() if second[item] == label}
        for name, said in self._said.items():
            if name not in self.raters:
                found = said | found
        return found | self._together

    def next_item(self, rater: str) -> str | None:
        """Items put aside come last; None when all theirs are labelled.

        Raises:
            DatasetRefused: `rater_invalid`; `labels_unfinished` for a third person while the two
                are not done.
        """
        asked = self.asked_of(rater)
        said = self._said.get(rater, {})
        places = {one.item: place for place, one in enumerate(self.aside) if one.rater == rater}
        wanted = (item for item in asked if item not in said)
        return min(wanted, key=lambda item: places.get(item, -1), default=None)

    def put_aside(self, item: str, rater: str) -> Reason | None:
        mine = (one for one in self.aside if (one.item, one.rater) == (item, rater))
        return next((one.reason for one in mine), None)

    @property
    def reasons(self) -> dict[str, int]:
        """Number of unlabelled items put aside, by reason."""
        waiting = (one for one in self.aside if one.item not in self._said.get(one.rater, {}))
        return dict(Counter(one.reason for one in waiting))

    def admit_aside(self, new: PutAside) -> None:
        """Raises DatasetRefused: `item_unknown`, `label_settled` for a labelled one; as
        `next_item`.
        """
        if new.item not in self.asked_of(new.rater):
            raise _unknown_item(new.item)
        if new.item in self._said.get(new.rater, {}):
            raise DatasetRefused("label_settled", f"{new.item!r} has a label already.")

    def asked_of(self, rater: str) -> tuple[str, ...]:
        """All, or for a third person the differences; raises as `next_item`."""
        check_rater(rater)
        if rater in self.raters:
            return self.items
        mine = self._said.get(rater, {})
        settled = self.answers()
        return tuple(
            pair.item
            for pair in self._differences()
            if pair.item in mine or pair.item not in settled
        )

    def admit(self, new: Given) -> None:
        """Check a label.

        Raises:
            DatasetRefused: `item_unknown`, `label_unknown`, `label_settled`, and as `next_item`.
        """
        if new.item not in self.items:
            raise _unknown_item(new.item)
        if new.label not in self.labels:
            shown = visible(new.label, limit=80)
            raise DatasetRefused("label_unknown", f"{shown!r} is none of the queue's labels.")
        asked = self.asked_of(new.rater)
        if new.together:
            self._demand_compared()
            if new.rater not in self.raters:
                raise DatasetRefused(
                    "rater_invalid", "Only the two raters can settle a difference together."
                )
            open_ = any(pair.item == new.item for pair in self.differences())
        elif new.rater in self.raters:
            open_ = not self.compared
        else:
            open_ = new.item in asked and new.item not in self._said.get(new.rater, {})
        if not open_:
            raise DatasetRefused("label_settled", f"The label of {new.item!r} stands.")

    def _differences(self) -> Iterator[RaterDifference]:
        first, second = (self._said[name] for name in self.raters)
        for item in self.items:
            if first[item] != second[item]:
                yield RaterDifference(item, (first[item], second[item]))

    def _demand_compared(self) -> None:
        if self.compared:
            return
        told = ", ".join(f"{name} {self.done[name]}" for name in self.raters)
        raise DatasetRefused(
            "labels_unfinished",
            f"The raters label {len(self.items)} items before their labels are compared; "
            f"labelled so far: {told}.",
        )


def _unknown_item(item: str) -> DatasetRefused:
    shown = visible(item, limit=80)
    return DatasetRefused("item_unknown", f"The queue has no item {shown!r}.")


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Raises DatasetRefused (`label_unknown`): fewer than two, too many, not to be shown."""
    kept = tuple(dict.fromkeys(labels))
    if not 2 <= len(kept) <= MOST_LABELS:
        raise DatasetRefused(
            "label_unknown", f"A queue offers 2 to {MOST_LABELS} labels, not {len(kept)}."
        )
    for label in kept:
        if not label.strip() or len(label) > _LONGEST_LABEL or not label.isprintable():
            raise DatasetRefused(
                "label_unknown", f"{visible(label, limit=80)!r} cannot be shown as a label."
            )
    return kept


def report(labelling: Labelling) -> Mapping[str, JsonValue]:
    """For the resulting dataset.

    Raises:
        DatasetRefused: `labels_unfinished`, `label_queue_empty`.
    """
    kappa = labelling.kappa()
    open_ = labelling.differences()
    differed = sum(1 for _ in labelling._differences())
    return {
        "items": len(labelling.items),
        "labels": list(labelling.labels),
        "agreement": kappa.agreement,
        "kappa": kappa.value,
        "kappa_error": kappa.error,
        "differed": differed,
        "settled_together": len(labelling._together),
        "settled_by_a_third": differed - len(open_) - len(labelling._together),
        "unsettled": len(open_),
    }


def check_raters(names: Sequence[str]) -> tuple[str, str]:
    """Raises DatasetRefused (`rater_invalid`)."""
    for name in names:
        check_rater(name)
    if len(names) != RATERS or len(set(names)) != RATERS:
        raise DatasetRefused("rater_invalid", "A queue has two raters with different names.")
    first, second = names
    return first, second


def check_rater(name: str) -> None:
    """Raises DatasetRefused (`rater_invalid`)."""
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise DatasetRefused(
            "rater_invalid", f"{visible(name, limit=80)!r} is no name of a person."
        )
