"""The ledger: looks count once, are inherited by shared groups, and end at the first pass."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.datasets import ledger as ledgers
from appliance.datasets.ledger import (
    FALLING,
    LOOKS,
    QUARTERS,
    LedgerLook,
    LookLedger,
    holder,
    remaining,
)
from appliance.datasets.marks import SplitMarks
from appliance.db import open_database
from appliance.errors import StateRefused


def marked(*groups: str) -> SplitMarks:
    """Of groups alone, as in a seal of the first format."""
    return SplitMarks(frozenset(groups), frozenset())


MARKS = marked("a", "b", "c")


def look(number: int = 1, **changes: object) -> LedgerLook:
    made = LedgerLook(f"spec{number}", number, "orders", "ab" * 32, "data", "cd" * 32, "test",
                "Paula", 50_000, 1_000 + number)  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LookLedger]:
    database = open_database(tmp_path / "a.db", [ledgers.TABLES, ledgers.SHARES])
    yield LookLedger(database)
    database.dispose()


class Log:
    def __init__(self) -> None:
        self.entries: list[tuple[str, int]] = []

    def __call__(self, taken: LedgerLook, number: int) -> int:
        self.entries.append((taken.id, number))
        return 40 + len(self.entries)


def code(ledger: LookLedger, wanted: LedgerLook, marks: SplitMarks, log: Log) -> str:
    before = ledger.looks(MARKS)
    with pytest.raises(StateRefused) as caught:
        ledger.take(wanted, marks, log)
    assert ledger.looks(MARKS) == before
    return caught.value.code


def test_a_look_is_recorded_then_kept(ledger: LookLedger) -> None:
    log = Log()
    taken, number = ledger.take(look(), MARKS, log)
    assert (taken.entry, number) == (41, 1) and log.entries == [("spec1", 1)]
    assert ledger.looks(marked("b")) == [taken] and ledger.looks(marked("z")) == []
    assert len(remaining(ledger.looks(MARKS))) == LOOKS - 1


def test_a_resumed_job_keeps_its_look(ledger: LookLedger) -> None:
    log = Log()
    first = ledger.take(look(), MARKS, log)
    assert ledger.take(look(taken_us=9_999), MARKS, log) == first
    assert len(log.entries) == 1 and len(ledger.looks(MARKS)) == 1


def test_a_specification_is_used_once(ledger: LookLedger) -> None:
    log = Log()
    ledger.take(look(), MARKS, log)
    assert code(ledger, look(job=2), MARKS, log) == "specification_used"
    assert code(ledger, look(), marked("elsewhere"), log) == "specification_used"
    assert len(log.entries) == 1


def test_a_look_without_budget_is_refused(ledger: LookLedger) -> None:
    log = Log()
    for number in range(1, LOOKS + 1):
        assert ledger.take(look(number), MARKS, log)[1] == number
    assert code(ledger, look(9), MARKS, log) == "looks_spent"
    assert len(log.entries) == LOOKS


def test_shared_groups_inherit_what_was_spent(ledger: LookLedger) -> None:
    log = Log()
    for number in range(1, LOOKS + 1):
        ledger.take(look(number), MARKS, log)
    resealed = marked("c", "x", "y")  # one group of before under another seal
    assert code(ledger, look(9, dataset="other"), resealed, log) == "looks_spent"
    assert ledger.take(look(9), marked("x", "y"), log)[1] == 1  # the control: new groups alone


def test_the_first_pass_ends_the_looks_of_other_tasks(ledger: LookLedger) -> None:
    log = Log()
    ledger.take(look(1), MARKS, log)
    ledger.conclude("spec1", "pass", "cert")
    assert remaining(ledger.looks(MARKS)) == ()
    assert len(remaining(ledger.looks(MARKS), QUARTERS, look().task_digest)) == LOOKS - 1
    passed = holder(ledger.looks(MARKS))
    assert passed is not None and passed.id == "spec1"
    # The page of the gate's job counts as the ledger does now, and again after the next look.
    assert ledger.counted(look(1).job) == (1, LOOKS - 1) and ledger.counted(99) is None
    assert code(ledger, look(2, task_digest="ee" * 32), MARKS, log) == "looks_spent"
    for number in range(2, LOOKS + 1):  # the task that passed may be certified again
        ledger.take(look(number), MARKS, log)
    assert code(ledger, look(9), MARKS, log) == "looks_spent"
    assert ledger.counted(look(1).job) == (LOOKS, 0)
    ledger.conclude("spec1", "fail", "")  # a verdict that is written stays
    assert (ledger.looks(MARKS)[0].verdict, ledger.looks(MARKS)[0].certificate) == ("pass", "cert")


def test_two_gates_at_once_cannot_both_have_the_last_look(ledger: LookLedger) -> None:
    log = Log()
    for number in range(1, LOOKS):
        ledger.take(look(number), MARKS, log)

    def gate(number: int) -> str:
        try:
            ledger.take(look(number), MARKS, log)
        except StateRefused as error:
            return error.code
        return "taken"

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(gate, range(10, 18)))
    assert sorted(found) == ["looks_spent"] * 7 + ["taken"]
    assert len(ledger.looks(MARKS)) == len(log.entries) == LOOKS


def test_a_failure_leaves_the_other_looks(ledger: LookLedger) -> None:
    log = Log()
    ledger.take(look(1), MARKS, log)
    ledger.conclude("spec1", "fail", "")
    assert ledger.take(look(2), MARKS, log)[1] == 2


def test_what_the_log_refuses_takes_no_look(ledger: LookLedger) -> None:
    def full(_taken: LedgerLook, _number: int) -> int:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        ledger.take(look(), MARKS, full)
    assert ledger.looks(MARKS) == []


def test_many_marks_are_looked_up(ledger: LookLedger) -> None:
    many = marked(*(f"m{n}" for n in range(3_000)))
    ledger.take(look(), many, Log())
    assert len(ledger.looks(marked("m2999"))) == 1


def spending(ledger: LookLedger, schedule: tuple[int, ...], numbers: range) -> list[int]:
    taken = (ledger.take(look(n), MARKS, Log(), schedule)[0] for n in numbers)
    return [each.share_micros for each in taken]


def test_the_first_look_spends_most_of_alpha(ledger: LookLedger) -> None:
    assert ledgers.schedule([], FALLING) == FALLING
    assert spending(ledger, FALLING, range(1, 5)) == list(FALLING)
    looks = ledger.looks(MARKS)
    assert [each.number for each in looks] == [1, 2, 3, 4]
    assert sum(each.share_micros for each in looks) == ledgers.MILLION
    assert ledgers.remaining(looks, FALLING) == ()


def test_a_split_that_has_begun_keeps_its_quarters(ledger: LookLedger) -> None:
    spending(ledger, QUARTERS, range(1, 2))
    looks = ledger.looks(MARKS)
    assert ledgers.schedule(looks, FALLING) == QUARTERS
    assert ledgers.remaining(looks, FALLING) == QUARTERS[1:]


def test_alpha_is_never_spent_twice_where_two_splits_are_joined(ledger: LookLedger) -> None:
    """0.7 here and 0.25 there leave 0.05: less than a look."""
    ledger.take(look(1), marked("a"), Log(), FALLING)
    ledger.take(look(2), marked("b"), Log(), QUARTERS)
    both = ledger.looks(marked("a", "b"))
    assert ledgers.remaining(both, FALLING) == ()
    assert code(ledger, look(3), marked("a", "b"), Log()) == "looks_spent"
    with pytest.raises(StateRefused):  # a route that spends quarters after 0.7 and 0.25
        ledger.take(look(4), marked("a", "b"), Log())


def test_a_quarter_after_most_of_alpha_is_taken_once(ledger: LookLedger) -> None:
    """A route's look spends a quarter: 0.7 and 0.25, and then no more."""
    ledger.take(look(1), MARKS, Log(), FALLING)
    assert ledger.take(look(2), MARKS, Log())[0].share_micros == 250_000
    assert code(ledger, look(3), MARKS, Log()) == "looks_spent"


def test_later_versions_of_the_task_that_passed_may_look(ledger: LookLedger) -> None:
    ledger.take(look(1, name="orders", version=2), MARKS, Log(), FALLING)
    ledger.conclude("spec1", "pass", "cert")
    looks = ledger.looks(MARKS)
    later = {"task_digest": "ee" * 32, "name": "orders"}
    assert ledgers.remaining(looks, FALLING, version=3, **later) == FALLING[1:]
    assert ledgers.remaining(looks, FALLING, version=1, **later) == ()  # an earlier one
    assert ledgers.remaining(looks, FALLING, "ee" * 32, "another", 3) == ()
    ledger.export(1)
    assert ledgers.remaining(ledger.looks(MARKS), FALLING, version=3, **later) == ()
    assert ledgers.remaining(ledger.looks(MARKS), FALLING, look().task_digest) == ()


def test_a_look_in_which_nothing_was_answered_is_not_spent(ledger: LookLedger) -> None:
    ledger.take(look(1), MARKS, Log(), FALLING)
    ledger.conclude("spec1", ledgers.UNSPENT, "")
    taken, number = ledger.take(look(2), MARKS, Log(), FALLING)
    assert (number, taken.share_micros) == (1, FALLING[0])
    assert code(ledger, look(1, job=9), MARKS, Log()) == "specification_used"


def test_looks_of_an_older_version_have_spent_a_quarter_each(tmp_path: Path) -> None:
    older = open_database(tmp_path / "old.db", [ledgers.TABLES])
    with older.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO looks (id, job, task, task_digest, dataset, dataset_digest, split, person,"
            " alpha_micros, taken_us, entry) VALUES ('old', 1, 't', 'd', 'x', 'y', 'test', 'P',"
            " 50000, 1, 1)"
        )
        connection.exec_driver_sql("INSERT INTO look_marks VALUES ('a', 'old')")
    older.dispose()
    database = open_database(tmp_path / "old.db", [ledgers.TABLES, ledgers.SHARES])
    found = LookLedger(database)
    (known,) = found.looks(MARKS)
    assert (known.share_micros, known.exported, known.number) == (250_000, 0, 0)
    assert found.take(look(2), MARKS, Log(), QUARTERS)[1] == 2
    assert found.counted(2) == (2, 2)
    database.dispose()


def test_looks_of_other_appliances_count_and_take_their_shares(ledger: LookLedger) -> None:
    log = Log()
    others = [look(n, job=0, share_micros=1) for n in (7, 8)]
    taken, number = ledger.take(look(1), MARKS, log, FALLING, others)
    assert (number, taken.share_micros) == (3, FALLING[2])
    assert ledger.take(look(2), MARKS, log, FALLING, [*others, taken])[1] == 4  # it is known here
    with pytest.raises(StateRefused) as caught:
        ledger.take(look(3), MARKS, log, FALLING, others)
    assert caught.value.code == "looks_spent"
    passed = look(9, job=0, verdict="pass", task_digest="ef" * 32)
    with pytest.raises(StateRefused, match="Another task passed"):
        ledger.take(look(4), marked("x"), log, FALLING, [passed])
    unspent = look(9, job=0, verdict=ledgers.UNSPENT)
    assert ledger.take(look(4), marked("x"), log, FALLING, [unspent])[1] == 1


def test_a_look_of_another_is_kept_with_its_marks_and_how_it_ended(ledger: LookLedger) -> None:
    marks = SplitMarks(frozenset("ab"), frozenset("c"), (f"{'1' * 32}:{'2' * 12}", "3" * 32))
    ledger.note(look(1), marks)
    ledger.note(replace(look(1), verdict="pass", number=2, share_micros=5), marks)
    ledger.note(look(1), marks)  # told again by somebody who does not know yet
    ((kept, again),) = ledger.all()
    assert (kept.verdict, kept.number, kept.share_micros) == ("pass", 2, 5)
    assert (again.groups, again.items) == (marks.groups, marks.items)
    assert ledger.looks(marks) == [kept]
