"""Problems of a dataset, and its power to show a result: the report of `dataset check`.

Rules: nothing is changed; errors make results on this dataset wrong, warnings doubtful; shown texts
passed no sanitiser and must pass one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from appliance.datasets import personal_data
from appliance.datasets.directory import Dataset
from appliance.datasets.duplicates import THRESHOLD
from appliance.datasets.items import Item
from appliance.datasets.likeness import Likeness
from appliance.datasets.sealing import SEALED
from appliance.datasets.splits import LABELLED, strata
from appliance.facts import DatasetFacts
from appliance.statistics.agreement import repeated_labels
from appliance.statistics.power import groups_without_error, smallest_effect
from appliance.statistics.verdict import FEWEST
from appliance.text import percent
from appliance.types import JsonValue

EXAMPLES: Final = 20
"""Ids told for each problem; the counts are whole."""
_DISCORDANT: Final = 0.2
"""Share of groups on which two candidates are supposed to differ, for the smallest effect."""
_DOMINANT: Final = 0.2
_RARE: Final = 10

Count = Callable[[str], int]


@dataclass(frozen=True)
class DataProblem:
    """One kind of problem.

    Attributes:
        level: "error" or "warning".
        examples: ids, or pairs of ids with details.
    """

    code: str
    level: str
    count: int
    message: str
    examples: tuple[Any, ...] = ()


class SplitFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """One split.

    Attributes:
        largest_group: its share of the items.
        smallest_effect: of two candidates, that the groups show.
        certifies_without_error: smallest error rate that they certify.
        labels, majority: counts, and the share of the commonest, where answers are few.
        time: the first and the last; None without times.
    """

    items: int
    groups: int
    largest_group: float
    smallest_effect: float
    certifies_without_error: float | None
    strata: dict[str, int]
    labels: dict[str, int] | None = None
    majority: float | None = None
    time: list[str] | None = None


class DuplicateFacts(msgspec.Struct, frozen=True):
    """Counts of distinct texts, and of exact and near repeats."""

    texts: int
    exact: int
    near: int


class LabelFacts(msgspec.Struct, frozen=True):
    """Repeated texts, and their labels' agreement."""

    repeated_texts: int
    agreement: float | None
    ceiling: float | None


class LengthFacts(msgspec.Struct, frozen=True):
    """Of inputs, in characters or tokens."""

    median: int
    p90: int
    max: int


class CheckFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Facts of a dataset, besides its problems.

    Attributes:
        personal_data: places by kind.
    """

    summary: DatasetFacts
    splits: dict[str, SplitFacts]
    near_threshold: float
    duplicates: DuplicateFacts
    labels: LabelFacts
    personal_data: dict[str, int]
    not_looked_for: str
    characters: LengthFacts
    tokens: LengthFacts | None = None


@dataclass(frozen=True)
class CheckReport:
    """Result of `check`."""

    problems: tuple[DataProblem, ...]
    facts: CheckFacts

    @property
    def ok(self) -> bool:
        return all(problem.level != "error" for problem in self.problems)

    def document(self) -> dict[str, JsonValue]:
        return {
            "ok": self.ok,
            "problems": [vars(problem) for problem in self.problems],
            **msgspec.to_builtins(self.facts),
        }


def read(document: Mapping[str, JsonValue]) -> CheckReport:
    """A report from its JSON values."""
    problems = msgspec.convert(document["problems"], tuple[DataProblem, ...])
    return CheckReport(problems, msgspec.convert(document, CheckFacts))


def check(
    dataset: Dataset,
    near: float = THRESHOLD,
    tokens: Count | None = None,
    context: int | None = None,
) -> CheckReport:
    """Check a dataset.

    Args:
        near: similarity from which two texts are near-duplicates (`duplicates.similarity`).
        tokens: counts the tokens of an input; None without a tokeniser.
        context: tokens that fit into the model's context.
    """
    items = [item for name in LABELLED for item in dataset.splits.get(name, ())]
    names = [name for name in LABELLED for _ in dataset.splits.get(name, ())]
    alike = Likeness([item.text for item in items], near)
    repeated, duplicates = _duplicates(items, alike)
    torn, labels = _labels(items, alike.texts)
    personal = personal_data.finds((item.id, item.text) for item in dataset.items)
    long, counted = _lengths(list(dataset.items), tokens, context)
    problems = [
        *_groups(dataset),
        *_leaks(items, names, alike),
        *repeated,
        *torn,
        *_personal(personal),
        *long,
    ]
    order = {"error": 0, "warning": 1}
    facts = CheckFacts(
        summary=dataset.facts(),
        splits={n: _split_facts(dataset.splits[n]) for n in LABELLED if dataset.splits.get(n)},
        near_threshold=near,
        duplicates=duplicates,
        labels=labels,
        personal_data={kind: len(places) for kind, places in personal.items()},
        not_looked_for=personal_data.MISSED,
        characters=_quantiles(sorted(len(item.text) for item in dataset.items)),
        tokens=counted,
    )
    return CheckReport(tuple(sorted(problems, key=lambda p: order[p.level])), facts)


def _split_facts(items: Sequence[Item]) -> SplitFacts:
    groups = Counter(item.group for item in items)
    answers = Counter(item.label for item in items)
    few = len(answers) <= max(100, len(items) // 5) and isinstance(items[0].expected, str)
    times = sorted(item.time for item in items if item.time is not None)
    return SplitFacts(
        items=len(items),
        groups=len(groups),
        largest_group=max(groups.values()) / len(items),
        smallest_effect=smallest_effect(len(groups), math.sqrt(_DISCORDANT)),
        certifies_without_error=_certifiable(len(groups)),
        strata=strata(items),
        labels=dict(answers.most_common()) if few else None,
        majority=max(answers.values()) / len(items) if few else None,
        time=[times[0], times[-1]] if times else None,
    )


def _certifiable(groups: int) -> float | None:
    """In percent steps."""
    bounds = [percent / 100 for percent in range(1, 51)]
    return next((bound for bound in bounds if groups_without_error(bound) <= groups), None)


def _groups(dataset: Dataset) -> list[DataProblem]:
    found = []
    for name in LABELLED:
        items = dataset.splits.get(name, ())
        groups = Counter(item.group for item in items)
        if not items:
            continue
        if len(groups) < FEWEST and name != "train":
            found.append(
                DataProblem(
                    "few_groups", "warning", len(groups),
                    f"{name} has {len(groups)} groups; below {FEWEST} every verdict is "
                    "underpowered.",
                )
            )  # fmt: skip
        top, size = groups.most_common(1)[0]
        if len(groups) > 1 and size > _DOMINANT * len(items) and size > 1:
            found.append(
                DataProblem(
                    "dominant_group", "warning", 1,
                    f"One group has {size} of the {len(items)} items of {name}.", (top,),
                )
            )  # fmt: skip
    every = [item for name in LABELLED for item in dataset.splits.get(name, ())]
    if len({item.group for item in every}) == 1:
        found.append(
            DataProblem("one_group", "error", 1, "All items are in one group: no estimate.")
        )
    if all(item.group == item.id for item in every):
        found.append(
            DataProblem(
                "groups_are_ids", "warning", len(every),
                "Every item is its own group. That is right only if nothing ties items together: "
                "no document, customer, machine or day.",
            )
        )  # fmt: skip
    return found


def _leaks(items: Sequence[Item], names: Sequence[str], alike: Likeness) -> list[DataProblem]:
    exact: list[Any] = []
    near: list[Any] = []
    earlier: list[int] = []
    for name in LABELLED:
        here = [n for n, split in enumerate(names) if split == name]
        for later, (first, value) in alike.matches(here, earlier).items():
            pair = {
                "item": items[later].id, "split": name, "like": items[first].id,
                "in": names[first], "similarity": round(value, 3),
            }  # fmt: skip
            (exact if alike.texts[later] == alike.texts[first] else near).append(pair)
        earlier += here
    found = []
    if exact:
        found.append(
            DataProblem(
                "leak_exact", "error", len(exact),
                "Items have the text of an item of an earlier split.", tuple(exact),
            )
        )  # fmt: skip
    if near:
        found.append(
            DataProblem(
                "leak_near", "warning", len(near),
                f"Items are near-duplicates (similarity from {alike.threshold}, as they are "
                "or with personal data masked) of items of an earlier split.", tuple(near),
            )
        )  # fmt: skip
    if not alike.complete:
        found.append(
            DataProblem(
                "near_incomplete", "warning", 1,
                "So many texts look alike that some pairs were not compared.",
            )
        )  # fmt: skip
    return found


def shared(dataset: Dataset) -> float:
    """The larger share of `certify` or `test` that is like an item of the other."""
    one, other = (dataset.splits.get(name, ()) for name in SEALED)
    if not one or not other:
        return 0.0
    alike = Likeness([item.text for item in (*one, *other)])
    here, there = range(len(one)), range(len(one), len(one) + len(other))
    return max(
        len(alike.matches(here, there)) / len(one), len(alike.matches(there, here)) / len(other)
    )


def _duplicates(items: Sequence[Item], alike: Likeness) -> tuple[list[DataProblem], DuplicateFacts]:
    texts = alike.texts
    same: dict[str, list[str]] = defaultdict(list)
    for item, text in zip(items, texts, strict=True):
        same[text].append(item.id)
    clusters: dict[int, set[str]] = defaultdict(set)
    for n, root in enumerate(alike.components()):
        clusters[root].add(texts[n])
    repeated = [ids for ids in same.values() if len(ids) > 1]
    near = [members for members in clusters.values() if len(members) > 1]
    facts = DuplicateFacts(
        texts=len(same),
        exact=sum(len(ids) - 1 for ids in repeated),
        near=sum(len(members) - 1 for members in near),
    )
    if not repeated:
        return [], facts
    found = DataProblem(
        "duplicate_text", "warning", facts.exact,
        "Items repeat the text of another item.", tuple(ids[:5] for ids in repeated[:EXAMPLES]),
    )  # fmt: skip
    return [found], facts


def _labels(items: Sequence[Item], texts: Sequence[str]) -> tuple[list[DataProblem], LabelFacts]:
    repeats = repeated_labels((text, item.label) for text, item in zip(texts, items, strict=True))
    facts = LabelFacts(
        repeated_texts=repeats.texts,
        agreement=round(repeats.agreement, 4) if repeats.texts else None,
        ceiling=round(repeats.ceiling, 4) if repeats.texts else None,
    )
    found = []
    by_text: dict[str, dict[str, str]] = defaultdict(dict)
    for text, item in zip(texts, items, strict=True):
        by_text[text].setdefault(item.label, item.id)
    torn = [list(labels.values()) for labels in by_text.values() if len(labels) > 1]
    if torn:
        found.append(
            DataProblem(
                "label_conflict", "warning", len(torn),
                f"Texts have different labels. Two labels of the same text agree "
                f"{percent(repeats.agreement)} of the time, and no answerer that sees only the "
                f"text scores above {percent(repeats.ceiling)} on these texts.",
                tuple(torn[:EXAMPLES]),
            )
        )  # fmt: skip
    trained = Counter(item.label for item in items if isinstance(item.expected, str))
    rare = sorted(label for label, count in trained.items() if count < _RARE)
    if rare and len(rare) < len(trained):
        found.append(
            DataProblem(
                "rare_label", "warning", len(rare),
                f"Labels have fewer than {_RARE} items.", tuple(rare[:EXAMPLES]),
            )
        )  # fmt: skip
    return found, facts


def _personal(found: Mapping[str, Sequence[tuple[str, str]]]) -> list[DataProblem]:
    return [
        DataProblem(
            "personal_data", "warning", len(places), f"Texts hold what looks like: {kind}.",
            tuple({"item": name, "shown": shown} for name, shown in places[:EXAMPLES]),
        )
        for kind, places in found.items()
    ]  # fmt: skip


def _lengths(
    items: Sequence[Item], tokens: Count | None, context: int | None
) -> tuple[list[DataProblem], LengthFacts | None]:
    if tokens is None:
        return [], None
    counted = [(tokens(item.text), item.id) for item in items]
    facts = _quantiles(sorted(count for count, _ in counted))
    long = [name for count, name in counted if context is not None and count > context]
    if not long:
        return [], facts
    found = DataProblem(
        "input_too_long", "error", len(long),
        f"Inputs have more tokens than the context of {context}.", tuple(long[:EXAMPLES]),
    )  # fmt: skip
    return [found], facts


def _quantiles(values: Sequence[int]) -> LengthFacts:
    last = len(values) - 1
    return LengthFacts(values[last // 2], values[math.ceil(last * 0.9)], values[last])
