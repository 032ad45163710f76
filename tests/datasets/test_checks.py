"""The report: planted problems are found, all of them; what is right is not blamed."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.datasets.checks import CheckReport, DataProblem, check, read, shared
from appliance.datasets.directory import Dataset, DatasetManifest
from appliance.datasets.duplicates import THRESHOLD, plain, similarity
from appliance.datasets.items import Item
from appliance.datasets.likeness import Likeness
from appliance.datasets.reading import read_items
from appliance.datasets.splits import SplitRule, split
from tests.datasets.examples import dataset, orders


def problem(report: CheckReport, code: str) -> DataProblem | None:
    return next((p for p in report.problems if p.code == code), None)


def test_a_report_reads_as_it_was_written() -> None:
    report = check(dataset(orders(60)), tokens=len, context=10)
    again = read(json.loads(json.dumps(report.document())))
    assert again.facts == report.facts and len(again.problems) == len(report.problems)
    assert json.loads(json.dumps(report.document()))["summary"]["kind"] == "dataset"


def test_what_two_sealed_splits_share_is_told_of_the_smaller_one() -> None:
    texts = ("hose leaks", "turbo whistles", "lamp broken", "oil filter old", "cable torn")
    items = tuple(Item(f"i{n}", f"g{n}", {"text": text}, "x") for n, text in enumerate(texts))
    again = tuple(replace(item, id=f"r{item.id}", group="r") for item in items[:2])
    whole = dataset(items[:2])
    for splits, share in (
        ({"certify": items[:2], "test": items[2:]}, 0),
        ({"certify": items, "test": again}, 1),
        ({"certify": items[1:], "test": (*again, items[0])}, 1 / 3),
        ({"test": items}, 0),
    ):
        assert shared(replace(whole, splits=splits)) == pytest.approx(share)


def swapped(text: str, draw: random.Random) -> str:
    words = text.split()
    draw.shuffle(words)
    return " ".join(words)


def misspelt(text: str, draw: random.Random) -> str:
    place = draw.randrange(1, len(text) - 1)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def padded(text: str, draw: random.Random) -> str:
    return draw.choice((f"pls {text}", f"{text} asap", f"{text} !!", f"-- {text}"))


def shouted(text: str, _draw: random.Random) -> str:
    return text.upper().replace(" ", "  ") + "."


PARAPHRASES: tuple[Callable[[str, random.Random], str], ...] = (swapped, misspelt, padded, shouted)


def planted(items: list[Item], share: float, seed: int) -> tuple[Dataset, dict[str, str]]:
    """A share of the test items are paraphrases of training items."""
    draw = random.Random(seed)
    splits = split(items, SplitRule("given"))
    trained = [item for item in splits["train"] if len(plain(item.text)) > 20]
    twins = {}
    tests = list(splits["test"])
    for number in range(round(share * len(items))):
        source = draw.choice(trained)
        text = PARAPHRASES[number % len(PARAPHRASES)](str(source.text), draw)
        twin = replace(
            source, id=f"twin-{number}", group=f"twin-{number}", input={"text": text}, split="test"
        )
        assert similarity(plain(text), plain(source.text)) >= THRESHOLD
        twins[twin.id] = source.id
        tests.append(twin)
    made = {**splits, "test": tuple(tests)}
    return Dataset(DatasetManifest("planted"), made), twins


def leaks(report: CheckReport) -> dict[str, dict[str, Any]]:
    found = [problem(report, code) for code in ("leak_exact", "leak_near")]
    return {pair["item"]: pair for p in found if p is not None for pair in p.examples}


def test_every_planted_twin_across_splits_is_listed(excavators_path: Path) -> None:
    items = read_items(excavators_path)
    made, twins = planted(items, 0.02, seed=5)
    report = check(made)
    found = leaks(report)
    assert len(twins) == 104
    assert set(twins) <= set(found)  # 100 %
    assert all(found[twin]["similarity"] >= THRESHOLD for twin in twins)
    assert report.facts.near_threshold == THRESHOLD


def test_label_agreement_of_the_excavators(excavators_path: Path) -> None:
    items = read_items(excavators_path)
    report = check(Dataset(DatasetManifest("x"), split(items, SplitRule("given"))))
    assert report.facts.labels.repeated_texts == 463
    assert report.facts.labels.agreement == pytest.approx(0.807, abs=5e-4)
    assert report.facts.labels.ceiling == pytest.approx(0.960, abs=5e-4)
    conflict = problem(report, "label_conflict")
    assert conflict is not None
    assert "80.7 %" in conflict.message
    assert report.ok
    assert problem(report, "leak_exact") is None  # the recipe drops them
    test = report.facts.splits["test"]
    assert (test.items, test.groups) == (844, 455)
    assert test.strata == {"C": 155, "D": 458, "E": 231}


def test_an_exact_leak_is_an_error() -> None:
    made = dataset(orders(300))
    source = made.splits["train"][0]
    twin = replace(source, id="twin", group="twin", input={"text": source.text.upper()})
    leaking = Dataset(made.manifest, {**made.splits, "test": (*made.splits["test"], twin)})
    report = check(leaking)
    assert not report.ok
    found = problem(report, "leak_exact")
    assert found is not None
    assert found.examples == (
        {"item": "twin", "split": "test", "like": source.id, "in": "train", "similarity": 1.0},
    )
    assert problem(check(made), "leak_exact") is None


def test_duplicates_and_conflicts() -> None:
    items = orders(300)
    again = replace(items[5], id="again", expected="other")
    report = check(dataset([*items, again]))
    duplicate, conflict = problem(report, "duplicate_text"), problem(report, "label_conflict")
    assert duplicate is not None
    assert [set(ids) for ids in duplicate.examples] == [{items[5].id, "again"}]
    assert conflict is not None
    assert set(conflict.examples[0]) == {items[5].id, "again"}
    assert report.facts.labels.agreement == 0
    assert report.facts.labels.ceiling == 0.5
    assert report.facts.duplicates.exact == 1
    rare = problem(report, "rare_label")
    assert rare is not None
    assert rare.examples == ("other",)


@pytest.fixture(scope="module")
def sound() -> CheckReport:
    """Of many items, which are as they should be."""
    return check(dataset(orders(3000)))


def test_groups_that_say_nothing(sound: CheckReport) -> None:
    single = check(dataset([replace(item, group=item.id) for item in orders(300)]))
    assert problem(single, "groups_are_ids") is not None
    one = check(dataset([replace(item, group="all") for item in orders(60)]))
    assert problem(one, "one_group") is not None
    assert not one.ok
    few = problem(check(dataset(orders(60))), "few_groups")
    assert few is not None
    assert "underpowered" in few.message
    large = [*orders(30), *[replace(i, id="x" + i.id, group="big") for i in orders(30, seed=2)]]
    assert problem(check(dataset(large)), "dominant_group") is not None
    for code in ("groups_are_ids", "one_group", "few_groups", "dominant_group"):
        assert problem(sound, code) is None


def test_a_leak_that_masking_shows() -> None:
    """One letter to two people: its twin of another split was no near-duplicate."""
    made = dataset(orders(300))
    letter = "{}, born {}, {}, MRN {}: see chart"
    people = (
        ("Rebecca Lawson", "07-19-1955", "4821 Old Mill Rd, Ann Arbor, MI 48103", "84-2219-7"),
        ("Tobias Lindqvist", "2 February 1948", "77 Baker Street", "P0099812"),
    )
    texts = [letter.format(*person) for person in people]
    assert similarity(*map(plain, texts)) < THRESHOLD  # the control
    (first, second) = (
        replace(made.splits[split][0], input={"text": text})
        for split, text in zip(("train", "test"), texts, strict=True)
    )
    splits = {**made.splits, "train": (first, *made.splits["train"][1:]),
              "test": (second, *made.splits["test"][1:])}  # fmt: skip
    report = check(Dataset(DatasetManifest("letters"), splits))
    near = problem(report, "leak_near")
    assert near is not None and second.id in {pair["item"] for pair in near.examples}
    assert problem(report, "leak_exact") is None
    assert Likeness(texts).components() == [0, 0]


def test_personal_data_are_shown_hidden() -> None:
    items = orders(90)
    items[3] = replace(items[3], input={"text": items[3].text + " call anna.berg@werk.example"})
    found = problem(check(dataset(items)), "personal_data")
    assert found is not None
    assert found.examples == ({"item": items[3].id, "shown": "an" + "*" * 18 + "le"},)
    assert "anna" not in str(check(dataset(items)).document())


def test_lengths_against_a_context() -> None:
    items = orders(60)
    items[0] = replace(items[0], input={"text": "word " * 50})
    report = check(dataset(items), tokens=lambda text: len(text.split()), context=40)
    found = problem(report, "input_too_long")
    assert found is not None
    assert found.examples == (items[0].id,)
    assert not report.ok
    assert report.facts.tokens is not None and report.facts.tokens.max == 50
    assert "tokens" not in check(dataset(items)).document()


def test_what_so_many_groups_can_show(sound: CheckReport) -> None:
    facts = sound.facts.splits["test"]
    expected = 2.4865 * (0.2 / facts.groups) ** 0.5
    assert facts.smallest_effect == pytest.approx(expected, rel=1e-3)
    assert facts.certifies_without_error == 0.02
