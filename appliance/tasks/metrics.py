"""Metrics: the score of an answer against the expected one. A new one is a function here.

Rules:
- A score is between 0 and 1, and no answer scores 0. A gate compares means over items, weighted by
  group (method rule 3).
- `task.toml`, `--metric`, evaluations, gates and docs/tasks.md know a metric by `METRICS` only.
- A name keeps its meaning forever: certificates carry it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from appliance.tasks.matching import WHOLE, Answer, Compare, alike, fields_right, object_of, same

Form: TypeAlias = Literal["labels", "fields", "text"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)


@dataclass(frozen=True)
class AnsweredItem:
    """One item as a metric sees it.

    Attributes:
        compare: as of `Task`.
        likeliest: labels, the likeliest first; a candidate may name only one.
    """

    form: Form
    expected: str
    answer: Answer
    compare: Mapping[str, Compare]
    likeliest: Sequence[str] = ()

    @property
    def share_right(self) -> float:
        """A label or a text is one field."""
        if self.form == "fields":
            given = object_of(self.answer)
            right = fields_right(json.loads(self.expected), given, self.compare)
            return sum(right.values()) / len(right) if right else float(given is not None)
        if WHOLE in self.compare:
            return self.compare[WHOLE].right(self.expected, self.answer)
        return same(self.expected, self.answer)


@dataclass(frozen=True)
class Metric:
    """A score of single answers, whose mean a gate compares.

    Attributes:
        usual: forms whose new tasks take it.
        unit: of which a point is a hundredth.
        ranked: whether it needs each label's probability.
    """

    name: str
    forms: tuple[Form, ...]
    usual: tuple[Form, ...]
    unit: Literal["items", "fields"]
    ranked: bool
    about: str
    score: Callable[[AnsweredItem], float]

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")


METRICS: Final[dict[str, Metric]] = {}
"""Every metric by its name."""


def metric(
    *forms: Form,
    usual: tuple[Form, ...] = (),
    unit: Literal["items", "fields"] = "items",
    ranked: bool = False,
) -> Callable[[Callable[[AnsweredItem], float]], Callable[[AnsweredItem], float]]:
    """Make a function a metric under its name; the first line of its docstring tells what it is."""

    def registered(score: Callable[[AnsweredItem], float]) -> Callable[[AnsweredItem], float]:
        name, about = score.__name__, (score.__doc__ or "").partition("\n")[0]
        METRICS[name] = Metric(name, forms, usual, unit, ranked, about, score)
        return score

    return registered


@metric("labels", "fields", "text", usual=("labels",))
def exact_match(item: AnsweredItem) -> float:
    """1 where the answer is the expected one: every field, a text up to blanks at its ends."""
    return float(item.share_right == 1)


@metric("labels", "text", usual=("text",))
def normalised_match(item: AnsweredItem) -> float:
    """1 where both are alike without case, punctuation, English articles and runs of blanks."""
    return item.share_right if item.compare else alike(item.expected, item.answer)


@metric("fields", usual=("fields",), unit="fields")
def field_accuracy(item: AnsweredItem) -> float:
    """The share of the expected fields that are right."""
    return item.share_right


@metric("labels", ranked=True)
def top_3(item: AnsweredItem) -> float:
    """1 where the expected label is among the three likeliest."""
    return float(item.answer is not None and item.expected in item.likeliest[:3])


def usual(form: Form) -> Metric:
    """The metric of a new task."""
    return next(each for each in METRICS.values() if form in each.usual)


def that_fit(form: Form) -> list[str]:
    """The names of those that measure a form."""
    return [each.name for each in METRICS.values() if form in each.forms]
