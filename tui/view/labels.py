"""The label screens: queues with their people's progress, and one item to label.

Rules: while the raters are at work nothing compares their labels; an item's text is data, shown
whole and safe.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from textual.content import Content

from appliance.text import percent
from appliance.types import JsonValue
from appliance.wire.admin.labels import LabelDifference, LabelQueue
from tui.columns import Column
from tui.text import WHOLE, Cell, cell, labelled, line, quiet, state
from tui.view.units import age, count, many, since

COLUMNS: Final = (
    Column("QUEUE", 0, least=14, most=40),
    Column("STATE", 10),
    Column("ITEMS", 6, right=True),
    Column("LABELLED", 26, drop=2),
    Column("KAPPA", 6, right=True, drop=1),
    Column("OPEN", 5, right=True),
    Column("AGE", 6, right=True, drop=3),
)
_LINES: Final = 500
"""Lines of an item's field that are shown."""
CHOICES: Final = (Column("", 3, right=True), Column("LABEL", 0))


def row(queue: LabelQueue, now: float) -> Sequence[Cell]:
    """One queue."""
    return (
        queue.name,
        state("done" if queue.finished else "waiting"),
        count(queue.items),
        people(queue.done),
        "-" if queue.kappa is None else f"{queue.kappa:.2f}",
        count(queue.unsettled),
        age(since(queue.created, now)),
    )


def detail(queue: LabelQueue, width: int) -> list[Content]:
    """The queue under the cursor."""
    said = labelled("dataset", queue.data, width)
    said += labelled("labels", ", ".join(queue.labels), width)
    said += labelled("raters", people(queue.done), width)
    if queue.aside:
        said += labelled("put aside", people(queue.aside), width)
    if not queue.finished:
        told = "Enter labels. The raters are compared when both have labelled every item."
    elif queue.unsettled:
        told = (
            f"{many(queue.unsettled, 'difference')}: a third person labels, or the two settle "
            "together."
        )
    elif queue.job:
        told = f"Next: `appliance job resume {queue.job}`; the gate takes the labels."
    else:
        told = f"Next: `appliance label finish {queue.name} DATASET_DIR`."
    if queue.kappa is not None:
        agreed = f"kappa {queue.kappa:.2f}, {percent(queue.agreement or 0)} of the labels agree"
        said += labelled("agreement", agreed, width)
    return [*said, *labelled("what to do", told, width)]


def people(done: Mapping[str, int]) -> str:
    """Each person with how many items they have labelled."""
    return ", ".join(f"{name} {count(number)}" for name, number in done.items())


def choice(label: str, number: int) -> Sequence[Cell]:
    """One label to choose, with the key that goes to it."""
    return (str(number) if number < 10 else "", label)


def item(given: Mapping[str, JsonValue], width: int) -> list[Content]:
    """Write an item, field by field."""
    fields = [(name, str(value)) for name, value in given.items() if value is not None]
    said: list[Content] = []
    for name, value in fields:
        label = name[:10] if len(fields) > 1 else ""
        for number, text in enumerate(value.splitlines()[:_LINES]):
            if label:
                said += labelled("" if number else label, text, width, limit=WHOLE)
            else:
                said += cell(text, limit=WHOLE).wrap(max(10, width))
    return said


def place(rater: str, done: int, total: int) -> Content:
    """Write the rater and their progress."""
    return line(
        cell(rater, "bold"),
        quiet(f"{count(done)} of {count(total)} done"),
        quiet("enter labels it"),
    )


def said(pair: LabelDifference, raters: Sequence[str]) -> Content:
    """The two raters' labels of an item, when both have finished."""
    told = [f"{name}: {label}" for name, label in zip(raters, pair.said, strict=False)]
    return line(quiet("you settle this together;"), *told)
