"""Search: every page agrees with reading everything, at a bounded cost."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import search
from appliance.audit.entry import LogEntry
from appliance.audit.export import entries
from appliance.audit.host import Moment
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.tables import SPAN
from appliance.clock import FixedClock
from appliance.errors import AuditRefused
from tests.audit.logs import Intruder, copy, new_log

BASE = 1_764_000_000_000_000


class Jumpy:
    """A clock that sometimes jumps far back or ahead."""

    def __init__(self) -> None:
        self._dice = random.Random(5)
        self._moment = Moment(BASE, "boot", 0)

    def now(self) -> Moment:
        jump = self._dice.choice([1_000] * 97 + [-3_600_000_000, 86_400_000_000, -86_000_000_000])
        self._moment = Moment(self._moment.time_us + jump, "boot", self._moment.mono_us + 1)
        return self._moment


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 3,300 entries: two spans and a part, three models, four apps, few errors."""
    directory = new_log(tmp_path_factory.mktemp("search") / "log")
    dice = random.Random(3)
    log = AuditLog.open(
        directory, clock=FixedClock(), content="off", reserve_bytes=0, moments=Jumpy()
    )
    with log:
        for number in range(1_100):
            who: dict[str, Any] = {
                "request_id": f"r{number}",
                "key_id": f"k{dice.randrange(4)}",
                "app": f"app{dice.randrange(4)}",
                "end_user": f"p{dice.randrange(4)}",
                "model": dice.choice(["m0", "m0", "m0", "m1", "m2"]),
            }
            (asked,) = log.append(Draft("intent", who)).result()
            ended = {"intent": asked.seq, "status": "ok", "finish": "stop", **who}
            if dice.random() < 0.02:
                ended |= {"status": "error", "finish": "worker_lost"}
            log.append(Draft("outcome", ended), Draft("admin", {"actor": "a", "action": "b"}))
    return directory


@pytest.fixture
def reader(large: Path) -> Iterator[LogReader]:
    opened = LogReader(large)
    yield opened
    opened.close()


def pages(reader: LogReader, query: Query) -> Iterator[list[LogEntry]]:
    while True:
        page = reader.search(query)
        yield page.entries
        if page.resume is None:
            return
        name = "before" if query.newest_first else "after"
        query = Query(**{**vars(query), name: page.resume})


def found(reader: LogReader, query: Query) -> list[int]:
    return [e.seq for page in pages(reader, query) for e in page]


def everything(reader: LogReader) -> list[LogEntry]:
    with reader._log.open() as log:
        return list(entries(log))


def expected(reader: LogReader, query: Query, whole: list[LogEntry] | None = None) -> list[int]:
    hits = [e.seq for e in whole or everything(reader) if query.matches(e)]
    low = -1 if query.after is None else query.after
    high = reader.size if query.before is None else query.before
    hits = [seq for seq in hits if low < seq < high]
    return hits[::-1] if query.newest_first else hits


def test_every_combination_finds_what_reading_everything_finds(reader: LogReader) -> None:
    dice = random.Random(1)
    options: dict[str, list[Any]] = {
        "kind": [None, "intent", "outcome", "admin", "nothing"],
        "request_id": [None, None, None, "r7", "nobody"],
        "model": [None, "m0", "m2"],
        "key_id": [None, "k1", "k3"],
        "app": [None, "app2"],
        "end_user": [None, "p1"],
        "code": [None, None, "stop", "worker_lost"],
        "since_us": [None, None, BASE, BASE + 86_400_000_000],
        "until_us": [None, None, BASE, BASE + 90_000_000_000],
        "after": [None, None, 5, 1_023, 1_024, 3_000],
        "before": [None, None, 2_048, 10, 5_000],
        "newest_first": [False, True],
        "limit": [70, 1_000],
    }
    some, whole = 0, everything(reader)
    for _ in range(100):
        given = dice.sample(sorted(options), 4)
        query = Query(**{name: dice.choice(options[name]) for name in given})
        numbers = expected(reader, query, whole)
        assert found(reader, query) == numbers, query
        some += bool(numbers)
    assert some > 20  # or the comparison is of nothing with nothing


def test_the_control_of_that_comparison(reader: LogReader) -> None:
    assert expected(reader, Query(code="worker_lost"))
    assert expected(reader, Query(code="worker_lost")) != found(reader, Query(code="stop"))


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_page_ends_in_time_and_the_next_goes_on(
    reader: LogReader, newest_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(kind="outcome", model="m2", key_id="k1", newest_first=newest_first)
    whole = list(pages(reader, query))
    assert len(whole) == 1
    monkeypatch.setattr(search, "MOST_STEPS", 20)
    short = list(pages(reader, query))
    assert len(short) > 10
    assert list(itertools.chain(*short)) == whole[0]


def test_the_rarest_condition_bounds_the_work(
    reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 3,300 entries are admin or m0 or stop; the request decides.
    monkeypatch.setattr(search, "MOST_STEPS", 30)
    for order in (False, True):
        query = Query(kind="outcome", request_id="r700", code=None, newest_first=order)
        assert reader.search(query).resume is None
        assert len(reader.search(query).entries) == 1


def test_times_are_looked_for_in_the_right_blocks_only(
    reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    monkeypatch.setattr(search.Query, "in_time", lambda _, entry: looked.append(entry.seq))
    reader.search(Query(since_us=BASE + 10 * 86_400_000_000_000))
    assert looked == [] or min(looked) >= 2 * SPAN  # what has no span yet


def test_an_entry_that_an_index_slips_in_is_not_handed_out(large: Path, tmp_path: Path) -> None:
    victim = copy(large, tmp_path / "victim")
    body = LogReader(victim).entry(2_000).raw
    Intruder(victim).sql("UPDATE leaf SET body = ? WHERE seq = 50", values=(body,))
    with pytest.raises(AuditRefused) as caught:
        LogReader(victim).search(Query(after=48, limit=5))
    assert caught.value.code == "audit_corrupt"
