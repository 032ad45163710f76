"""The queue of people: deadline, one answer in the task's form, labels, and what is refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.config import AuditConfig, Config
from appliance.errors import ApplianceError
from appliance.routing import people as module
from appliance.routing.people import DeferredItem, Form, People
from tests.routing.upstreams.site import caller, entries

LABELS = Form(("leak", "noise"))
SCHEMA = Form(schema={"type": "object", "required": ["part"]})
GIVEN = {"order": "The pump drips."}


def secret() -> bytes:
    return bytes(32)


class Clock:
    def __init__(self) -> None:
        self.now = 1_764_000_000_000_000

    def wall_us(self) -> int:
        return self.now

    def hours(self, count: float) -> None:
        self.now += round(count * 3_600_000_000)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    data: Path = tmp_path_factory.mktemp("people") / "d"
    initialise(data, "lab")
    with open_services(data, config=Config(audit=AuditConfig(ballast_mib=0))) as services:
        yield services


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(opened: Services, clock: Clock) -> People:
    made = opened.people
    return People(made._database, opened.audit, clock, "encrypted", secret)


def put(
    people: People, form: Form = LABELS, request: str = "req-1", key: str = "k-people", **more: Any
) -> DeferredItem:
    given = {**GIVEN, "request": request}
    who = replace(caller(key, **more), request_id=request)
    return people.put(who, "orders", given, form, hours=2, reason="in doubt")


def code_of(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(ApplianceError) as caught:
        call(*arguments, **named)
    return caught.value.code


def test_an_item_waits_is_answered_once_and_becomes_a_label(
    people: People, opened: Services, clock: Clock
) -> None:
    made = put(people)
    assert people.get(made.id).state == "waiting"
    assert made.id in [item.id for item in people.list()]
    assert code_of(people.answer, made.id, "rust", "uid:7") == "queue_answer_unfit"
    done = people.answer(made.id, "leak", "uid:7")
    assert (done.state, done.answer, done.actor) == ("answered", "leak", "uid:7")
    assert code_of(people.answer, made.id, "noise", "uid:8") == "queue_item_closed"
    assert people.get(made.id).answer == "leak"
    item = done.item()
    assert (item.id, item.expected) == ("req-1", "leak")
    assert item.input == {**GIVEN, "request": "req-1"}
    assert item.group == "k-people 2025-11-24"
    noted = [e for e in entries(opened, "admin") if e.get("item") == made.id]
    assert [entry["action"] for entry in noted] == ["queue_put", "queue_answer"]
    assert "leak" not in str(noted) and "drips" not in str(noted)


def test_a_deadline_stays_over_when_the_clock_is_set_back(people: People, clock: Clock) -> None:
    made = put(people, request="req-2")
    clock.hours(2)
    assert people.get(made.id).state == "expired"
    clock.hours(-24)
    assert people.get(made.id).state == "expired"
    assert code_of(people.answer, made.id, "leak", "uid:7") == "queue_item_closed"
    assert made.id not in [item.id for item in people.list()]


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (LABELS, "leak", ["Leak", 3, None, ["leak"]]),
        (SCHEMA, {"part": "pump"}, [{}, "pump", None, []]),
        (Form(), "It leaks.", ["", "  ", 3, None, {}]),
        (Form(), "x", ["x" * (65 << 10)]),
    ],
)
def test_an_answer_has_the_form_of_the_task(form: Form, good: Any, bad: list[Any]) -> None:
    form.check(good)
    for answer in bad:
        assert code_of(form.check, answer) == "queue_answer_unfit"


def test_the_same_request_names_the_same_item_for_a_day(
    people: People, opened: Services, clock: Clock
) -> None:
    clock.hours(200)
    given = {"order": "It drips.", "place": "Hall 3"}

    def ask(
        request: str, key: str = "k-same", *, form: Form = LABELS, **other: str
    ) -> DeferredItem:
        who = replace(caller(key), request_id=request)
        fields = dict(reversed((given | other).items()))
        return people.put(who, "orders", fields, form, hours=30, reason=request)

    first = people.put(caller("k-same"), "orders", given, LABELS, hours=30, reason="in doubt")
    assert ask("req-again") == people.get(first.id)
    others = [
        ask("req-2", place="Hall 4"), ask("req-3", key="k-else"),
        ask("req-4", form=Form(("leak", "noise", "rust"))),
    ]  # fmt: skip
    assert len({first.id, *(other.id for other in others)}) == 4
    people.answer(first.id, "leak", "uid:7")
    clock.hours(23)
    assert (ask("req-5").id, ask("req-5").answer) == (first.id, "leak")
    noted = [e for e in entries(opened, "admin") if e.get("item") == first.id]
    # An erasure of a later request finds the item by its entry.
    assert [entry["action"] for entry in noted] == [
        "queue_put", "queue_same", "queue_answer", "queue_same", "queue_same",
    ]  # fmt: skip
    assert [entry["request_id"] for entry in noted[3:]] == ["req-5", "req-5"]
    clock.hours(1)
    fresh = ask("req-6")
    assert fresh.id != first.id and fresh.state == "waiting"
    # Nobody without the secret can tell from the digest what was asked.
    other = People(people._database, opened.audit, clock, "encrypted", lambda: b"other")
    assert other.put(caller("k-same"), "orders", given, LABELS, hours=1, reason="").id != fresh.id


def test_an_expired_item_is_not_named_again(people: People, clock: Clock) -> None:
    clock.hours(400)
    made = put(people)
    clock.hours(3)
    again = put(people)
    assert (people.get(made.id).state, again.state) == ("expired", "waiting")
    assert again.id != made.id


def test_requests_at_the_same_moment_make_one_item(people: People, clock: Clock) -> None:
    clock.hours(500)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: put(people).id, range(16)))
    assert len(set(made)) == 1


def test_texts_that_are_not_kept_do_not_wait(people: People) -> None:
    before = len(people.list(state=None))
    for mode in ("off", "commit-only"):
        assert code_of(put, people, content=mode) == "queue_retention"
    assert len(people.list(state=None)) == before


def test_a_full_queue_refuses(opened: Services, clock: Clock) -> None:
    full = People(
        opened.people._database, opened.audit, clock, "encrypted", secret, most=0
    )  # fmt: skip
    assert code_of(put, full, request="req-full") == "people_queue_full"


def test_one_key_has_a_part_of_the_queue(opened: Services, clock: Clock) -> None:
    clock.hours(900)  # what other tests let wait has expired
    few = People(opened.people._database, opened.audit, clock, "encrypted", secret, most=20)
    made = [put(few, request=f"req-p{n}") for n in range(2)]
    assert code_of(put, few, request="req-p2") == "people_queue_full"
    other = replace(caller("k-other"), request_id="req-o")
    few.put(other, "orders", GIVEN, LABELS, hours=2, reason="in doubt")
    few.answer(made[0].id, "leak", "uid:7")
    put(few, request="req-p9")


def test_an_item_that_is_not_there(people: People) -> None:
    assert code_of(people.get, "wait-0") == "queue_item_unknown"
    assert code_of(people.answer, "wait-0", "leak", "uid:7") == "queue_item_unknown"


def test_items_are_found_by_key_and_task(people: People) -> None:
    made = put(people, request="req-3")
    assert [i.id for i in people.list(key_id="k-people", task="orders")].count(made.id) == 1
    assert people.list(key_id="another") == people.list(task="other") == []


def test_of_what_was_read_the_newest_is_remembered(
    people: People, opened: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_READ", 3)
    items = [put(people, request=f"req-{number}") for number in range(5)]
    people.note_reading("uid:7", items[:2])
    assert len(people._read) == 2
    people.note_reading("uid:7", items)
    assert len(people._read) == 3

    def read() -> int:
        return sum(one.get("action") == "queue_read" for one in entries(opened, "admin"))

    before = read()
    people.note_reading("uid:7", items[2:])
    assert read() == before
    people.note_reading("uid:7", items[:1])
    assert read() == before + 1 and len(people._read) == 3
