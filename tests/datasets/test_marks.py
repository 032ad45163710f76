"""Marks of items: no rename wins looks, and another collection of the same plant has its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.datasets import ledger as ledgers
from appliance.datasets import marks, sealing
from appliance.datasets.items import Item
from appliance.datasets.ledger import LedgerLook, LookLedger
from appliance.db import open_database
from tests.datasets.examples import orders

KEY = bytes(range(32))
SEEN = orders(500, per_group=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LookLedger]:
    database = open_database(tmp_path / "a.db", [ledgers.TABLES, ledgers.SHARES])
    found = LookLedger(database)
    look = LedgerLook("spec", 1, "t", "ab" * 32, "orders", "cd" * 32, "test", "Paula", 50_000, 1)
    found.take(look, of("orders", SEEN), lambda _look, _number: 1)
    yield found
    database.dispose()


def of(dataset: str, items: Sequence[Item], key: bytes = KEY) -> marks.SplitMarks:
    return sealing.describe(dataset, items, key).marks


def worded(items: Sequence[Item], change: Callable[[str], str]) -> list[Item]:
    return [replace(i, input={"text": change(i.text)}) for i in items]


EXTRA = orders(500, seed=77, per_group=1)
SAME: dict[str, tuple[str, list[Item]]] = {
    "the same": ("orders", SEEN),
    "renamed dataset": ("others", SEEN),
    "renamed dataset and groups": ("others", [replace(i, group="x" + i.group) for i in SEEN]),
    "one item more in each group": (
        "others",
        [*SEEN, *(replace(e, id="e" + e.id) for e in EXTRA)],
    ),
    "two groups joined": (
        "others",
        [replace(i, group=f"j{n // 2}") for n, i in enumerate(SEEN)],
    ),
    "other case and marks": ("others", worded(SEEN, lambda text: text.upper() + " !")),
    "reworded": ("others", worded(SEEN, lambda text: f"please {text} today")),
    "words exchanged": ("others", worded(SEEN, lambda text: " ".join(text.split()[::-1]))),
    "a tenth of it": ("others", [*SEEN[:50], *EXTRA[:450]]),
}


@pytest.mark.parametrize("case", SAME)
def test_no_change_of_the_same_items_wins_looks(ledger: LookLedger, case: str) -> None:
    found = ledger.looks(of(*SAME[case]))
    assert [look.id for look in found] == ["spec"]
    assert ledger.known(of(*SAME[case])) == []  # what is inherited is not taken out


def test_another_collection_of_the_same_plant_has_its_own_looks(ledger: LookLedger) -> None:
    """500 short reports, 3 % of them literal repeats: none inherited, the repeats are reported."""
    second = orders(485, seed=10, per_group=1)
    mixed = [*second, *(replace(i, id=f"r{n}", group=f"r{n}") for n, i in enumerate(SEEN[:15]))]
    wanted = of("second", mixed)
    assert ledger.looks(wanted) == []
    known = set(ledger.known(wanted))
    repeats = [i.id for i in mixed if marks.of_item(KEY, i.text) in known]
    assert {f"r{n}" for n in range(15)} <= set(repeats) and len(repeats) <= 25
    rest = [i for i in mixed if i.id not in set(repeats)]
    assert ledger.known(of("second", rest)) == []


def test_control_without_marks_of_items_a_rename_wins_looks(ledger: LookLedger) -> None:
    """Short texts have no mark of their content."""
    assert (
        ledger.looks(sealing.describe("others", worded(SEEN, lambda text: text[:40])).marks) == []
    )


def test_an_older_look_is_inherited_from_one_shared_group_on(tmp_path: Path) -> None:
    database = open_database(tmp_path / "b.db", [ledgers.TABLES, ledgers.SHARES])
    found = LookLedger(database)
    look = LedgerLook("old", 1, "t", "ab" * 32, "orders", "cd" * 32, "test", "Paula", 50_000, 1)
    found.take(look, sealing.describe("orders", SEEN).marks, lambda _look, _number: 1)
    one = of("orders", [SEEN[0], *(replace(e, group="n" + e.group) for e in EXTRA)])
    assert [each.id for each in found.looks(one)] == ["old"]
    assert found.looks(of("orders", [replace(e, group="n" + e.group) for e in EXTRA])) == []
    database.dispose()


def test_marks_tell_nothing_without_the_key(ledger: LookLedger) -> None:
    assert ledger.looks(of("others", SEEN, bytes(32))) == []
    one, other = marks.of_item(KEY, "oil leak"), marks.of_item(bytes(32), "oil leak")
    assert not set(marks.parts(one)) & set(marks.parts(other))
    assert marks.of_item(KEY, "OIL  leak!") == one
    assert marks.parts(marks.of_item(KEY, "")) == (marks.whole(marks.of_item(KEY, "")),)


def test_texts_of_one_form_are_not_one_text(ledger: LookLedger) -> None:
    """A thousand texts that differ in a number or two."""
    form = "the work order of machine {} in hall {} was closed by the shift after the inspection"
    items = [Item(f"f{n}", f"f{n}", {"text": form.format(n, n % 7)}, "a") for n in range(1_000)]
    look = LedgerLook("form", 2, "t", "ab" * 32, "form", "cd" * 32, "test", "Paula", 50_000, 2)
    ledger.take(look, of("form", items[:500]), lambda _look, _number: 2)
    assert [each.id for each in ledger.looks(of("again", items[:500]))] == ["form"]
