"""Each appliance cosigns the logs of the others; a changed log is named."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.cosignature import verify_cosigned
from appliance.audit.epoch import EpochLimits
from appliance.clock import FixedClock
from appliance.config import PeerConfig
from appliance.errors import UsageError
from appliance.forwarding.receivers import HttpAnswer
from appliance.peers.ring import keys_of
from tests.peers.appliances import MINUTE_S, Member, member

SHORT = EpochLimits(seconds=600, rows=8, idle_seconds=600)
HOUR = 60 * MINUTE_S


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def pair(tmp_path: Path, clock: FixedClock) -> Iterator[tuple[Member, Member]]:
    with member(tmp_path / "a", "a", clock) as a, member(tmp_path / "b", "b", clock) as b:
        a.meets(b)
        yield a, b


def recorded(one: Member) -> int:
    return sum(entry.kind == "witness" for entry in one.reader.range(0, 500))


def test_a_log_that_grows_is_cosigned_each_time(pair: tuple[Member, Member]) -> None:
    a, b = pair
    ring = a.asks(b)
    for _ in range(3):
        ring.ask()
        standing = ring.standing
        assert (standing.problem, standing.differs) == ("", "")
        assert standing.cosigned == b.witness.peer("a").size
        a.clock.advance(MINUTE_S)
        a.write("something", "more")
    assert recorded(a) == 1  # once an hour
    a.clock.advance(HOUR)
    ring.ask()
    assert recorded(a) == 2
    last = a.reader.last_witness()
    assert last is not None
    note = str(last.body["note"]).encode()
    head, seconds = verify_cosigned(note, a.reader.origin, b.witness.key)
    assert head.size == ring.standing.cosigned and seconds == a.clock.wall_us() // 1_000_000


def test_idle_logs_do_not_make_each_other_grow(pair: tuple[Member, Member]) -> None:
    a, b = pair
    rings = [a.asks(b), b.asks(a)]
    sizes = []
    for _ in range(5):
        for ring in rings:
            ring.ask()
            assert ring.standing.cosigned_us == a.clock.wall_us()
        sizes.append((a.reader.size, b.reader.size))
        a.clock.advance(HOUR)
    assert len(set(sizes)) == 1


def test_a_lost_answer_is_made_up_for(pair: tuple[Member, Member]) -> None:
    a, b = pair
    ring = a.asks(b)
    body = a.reader.witness_request(b.witness.key, 0)
    b.witness.add_checkpoint(body)  # and the answer never came
    a.write("more")
    ring.ask()
    assert ring.standing.problem == "" and ring.standing.cosigned == a.reader.size - 1


def test_a_log_that_was_put_back_is_named_by_both(
    pair: tuple[Member, Member], tmp_path: Path, clock: FixedClock
) -> None:
    a, b = pair
    a.asks(b).ask()
    copy = shutil.copytree(a.directory, tmp_path / "copy")
    a.write(*"abcdefgh")
    a.asks(b).ask()
    seen = b.witness.peer("a").size
    with member(tmp_path / "put back", "a", clock, copy) as old:
        old.meets(b)
        ring = old.asks(b)
        ring.ask()
        assert f"it saw {seen} entries" in ring.standing.differs
        assert f"and {seen} were seen" in b.witness.peer("a").differs
        assert [one["action"] for one in b.found] == ["peer_log_differs"]
        ring.ask()
        assert len(b.found) == 1  # it is recorded once
        old.write(*(f"other {n}" for n in range(20)))
        ring.ask()
        assert "another log" in ring.standing.differs
        assert "not those that were seen" in b.witness.peer("a").differs
    assert b.witness.peer("a").size == seen
    a.asks(b).ask()  # the true log goes on, and the alarm ends
    assert b.witness.peer("a").differs == ""


def test_a_log_that_was_cut_beside_a_newer_database_is_named_by_both(
    pair: tuple[Member, Member], tmp_path: Path, clock: FixedClock
) -> None:
    a, b = pair
    copy = shutil.copytree(a.directory, tmp_path / "copy")
    a.write(*"abcdefgh")
    a.asks(b).ask()
    with member(tmp_path / "cut", "a", clock, copy) as cut:
        cut.meets(b)
        cut.heads.take(b.witness.key, a.heads.cosigned(b.witness.key))
        ring = cut.asks(b)
        ring.ask()
        assert "put back" in ring.standing.differs
        assert "were seen" in b.witness.peer("a").differs
        assert [one["action"] for one in b.found] == ["peer_log_differs"]


def test_keys_that_changed_since_are_no_way_out(tmp_path: Path, clock: FixedClock) -> None:
    """A log takes a new key at each start, so one that is put back has another."""
    with member(tmp_path / "b", "b", clock) as b:
        with member(tmp_path / "a", "a", clock, epochs=SHORT) as a:
            a.meets(b)
            a.asks(b).ask()
        copy = shutil.copytree(tmp_path / "a", tmp_path / "copy")
        for _ in range(3):
            with member(tmp_path / "a", "a", clock, a.directory, epochs=SHORT) as a:
                clock.advance(HOUR)
                a.meets(b)
                a.write(*"abcdefgh")
                a.asks(b).ask()
                assert b.witness.peer("a").differs == ""
        with member(copy, "a", clock, copy / "audit", epochs=SHORT) as old:
            clock.advance(HOUR)
            old.meets(b)
            for _ in range(2):
                ring = old.asks(b)
                ring.ask()
                assert ring.standing.differs and b.witness.peer("a").differs
                old.write(*(f"other {n}" for n in range(60)))  # longer than what was seen


def test_a_witness_that_was_put_back_goes_on(tmp_path: Path, clock: FixedClock) -> None:
    with member(tmp_path / "a", "a", clock, epochs=SHORT) as a:
        with member(tmp_path / "b", "b", clock) as b:
            a.meets(b)
            a.asks(b).ask()
        copy = shutil.copytree(tmp_path / "b", tmp_path / "copy")
        with member(tmp_path / "b", "b", clock, b.directory) as b:
            a.meets(b)
            for _ in range(3):
                clock.advance(HOUR)
                a.write(*"abcd")
                a.asks(b).ask()
        with member(copy, "b", clock, copy / "audit") as b:
            a.meets(b)
            clock.advance(HOUR)
            ring = a.asks(b)
            ring.ask()
            assert (ring.standing.problem, ring.standing.differs) == ("", "")
            assert b.witness.peer("a").size == ring.standing.cosigned


def test_a_peer_that_is_away_is_a_problem(pair: tuple[Member, Member]) -> None:
    a, b = pair
    ring = a.asks(b)

    def away(*_: object) -> HttpAnswer:
        raise ConnectionRefusedError("nobody listens")

    ring._post = away
    ring.ask()
    assert "nobody listens" in ring.standing.problem and not ring.standing.differs
    assert ring.standing.met_us == ring.standing.since_us
    ring._post = lambda *_: HttpAnswer(503, b"later")
    ring.ask()
    assert "503: later" in ring.standing.problem
    ring._post = lambda *_: HttpAnswer(200, b"\xe2\x80\x94 x AAAA\n")
    ring.ask()
    assert ring.standing.problem  # what it signed is not this head
    a.asks(b).ask()


def test_keys_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        keys_of("b", PeerConfig("https://b", "b.example+1+AAAA", "w"))
    assert caught.value.code == "config_invalid" and "peers.b" in caught.value.message
