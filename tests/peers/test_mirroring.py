"""An answer waits for one mirror; a silent one keeps nothing waiting; without any it is refused."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.anchors import LogBatch
from appliance.audit.pruning import SignedPrune
from appliance.clock import FixedClock
from appliance.errors import Unavailable
from appliance.peers import mirroring
from appliance.peers.mirror import MirroredLogs, MirrorTold
from appliance.peers.mirroring import Mirroring, MirrorLink
from tests.peers.appliances import Member, member
from tests.peers.test_mirror import bodies, link

LONG_MS = 60_000


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Member, MirrorLink]]:
    clock = FixedClock()
    with member(tmp_path / "a", "a", clock) as a, member(tmp_path / "b", "b", clock) as b:
        a.meets(b)
        mirror = MirroredLogs(tmp_path / "b", b.witness, clock)
        made = link(a, b, mirror)
        made.send()
        yield a, made
        mirror.close()


@contextlib.contextmanager
def running(*links: MirrorLink, ms: int = LONG_MS, refuse: bool = True) -> Iterator[Mirroring]:
    made = Mirroring(links, ms, refuse=refuse)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def away(_: LogBatch | None, pruned: SignedPrune | None) -> MirrorTold:
    raise ConnectionRefusedError("nobody listens")


async def test_an_answer_waits_until_a_mirror_has_its_entry(
    pair: tuple[Member, MirrorLink],
) -> None:
    a, good = pair
    silent = MirrorLink("c", a.witness.key, a.reader, away)
    with running(silent, good) as mirroring:
        for _ in range(3):
            first = a.reader.size
            a.write(*"abc")
            await asyncio.gather(*(mirroring.acknowledged(first + n) for n in range(3)))
            assert good.has(first + 2)
        await mirroring.acknowledged(a.reader.size - 1)  # at once
    assert "nobody listens" in silent.problem and not silent.has(a.reader.size - 1)


async def test_the_next_mirror_takes_entries_once_the_first_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "_FOLLOWS_S", float(LONG_MS))
    clock = FixedClock()
    with (
        member(tmp_path / "a", "a", clock) as a,
        member(tmp_path / "b", "b", clock) as b,
        member(tmp_path / "c", "c", clock) as c,
        contextlib.ExitStack() as stack,
    ):
        links = []
        for other in (b, c):
            a.meets(other)
            mirror = MirroredLogs(tmp_path / other.name, other.witness, clock)
            stack.callback(mirror.close)
            links.append(link(a, other, mirror))
        first, second = links
        rests = threading.Event()
        second.rest = rests.set
        first.send()
        second.send()
        with running(first, second) as made:
            await asyncio.to_thread(rests.wait)
            a.write("x")
            seq = a.reader.size - 1
            await made.acknowledged(seq)
            assert first.has(seq) and not second.has(seq)
            first._ask = away
            a.write("y")
            await made.acknowledged(seq + 1)
            assert second.has(seq) and second.has(seq + 1) and not first.has(seq + 1)


async def test_a_silent_mirror_keeps_no_answer_waiting(pair: tuple[Member, MirrorLink]) -> None:
    a, good = pair
    ends = threading.Event()

    def silent(batch: LogBatch | None, pruned: SignedPrune | None) -> MirrorTold:
        ends.wait()
        raise TimeoutError

    first = MirrorLink("c", a.witness.key, a.reader, silent)
    first.size = good.size  # it took entries before
    with running(first, good) as made:
        a.write("x")
        await made.acknowledged(a.reader.size - 1)
        ends.set()


@pytest.mark.parametrize("refuse", [True, False])
async def test_without_a_mirror_the_policy_says(
    pair: tuple[Member, MirrorLink], refuse: bool
) -> None:
    a, good = pair
    silent = MirrorLink("c", a.witness.key, a.reader, away)
    a.write("x")
    seq = a.reader.size - 1
    with running(silent, ms=10, refuse=refuse) as mirroring:
        if refuse:
            with pytest.raises(Unavailable) as caught:
                await mirroring.acknowledged(seq)
            assert caught.value.code == "mirror_unavailable"
        else:
            await mirroring.acknowledged(seq)
        assert not mirroring.has(seq) and mirroring._waiting == []
    with running(good, ms=LONG_MS, refuse=refuse) as mirroring:  # the control
        await mirroring.acknowledged(seq)
        assert mirroring.has(seq)


def test_what_another_key_cosigned_is_no_mirror(pair: tuple[Member, MirrorLink]) -> None:
    a, good = pair
    forged = MirrorLink("b", a.witness.key, a.reader, good._ask)
    a.write("x")
    forged.send()
    assert "not cosigned" in forged.problem and not forged.has(a.reader.size - 1)


@pytest.mark.parametrize("seen", [False, True])
async def test_a_new_mirror_begins_where_an_answer_waits(tmp_path: Path, seen: bool) -> None:
    clock = FixedClock()
    with member(tmp_path / "a", "a", clock) as a, member(tmp_path / "b", "b", clock) as b:
        a.meets(b)
        mirror = MirroredLogs(tmp_path / "b", b.witness, clock)
        a.write(*"abc")
        first = a.reader.size - 2
        if seen:  # the ring was faster
            a.asks(b).ask()
        made = Mirroring((link(a, b, mirror),), LONG_MS // 10, refuse=True)
        waits = asyncio.gather(*(made.acknowledged(first + n) for n in range(2)))
        await asyncio.sleep(0)
        made.start()
        await waits
        made.stop()
        assert mirror.entries(a.keys.log) == bodies(a, first) and b.found == []
        mirror.close()


@pytest.mark.parametrize("more", [0, 2])
async def test_an_answer_of_before_a_mirrors_first_head_gets_there(
    tmp_path: Path, more: int
) -> None:
    """Its entry was in the log when the mirror began with the newest head; later ones came."""
    clock = FixedClock()
    with member(tmp_path / "a", "a", clock) as a, member(tmp_path / "b", "b", clock) as b:
        a.meets(b)
        mirror = MirroredLogs(tmp_path / "b", b.witness, clock)
        a.write(*"abc")
        new, first = link(a, b, mirror), a.reader.size - 2
        new.send()
        assert new.size == a.reader.size and not new.has(first)
        for number in range(more):
            a.write(f"later {number}")
            new.send()
        made = Mirroring((new,), LONG_MS // 10, refuse=True)
        made.start()
        await asyncio.gather(*(made.acknowledged(first + n) for n in range(2)))
        made.stop()
        assert mirror.entries(a.keys.log) == bodies(a, first)
        mirror.close()


def test_a_link_with_nothing_new_rests(pair: tuple[Member, MirrorLink]) -> None:
    a, good = pair
    rests: list[int] = []
    good.rest = lambda: rests.append(a.reader.size)
    good.send()
    a.write("x")
    good.send()
    good.send()
    assert rests == [a.reader.size - 1, a.reader.size]
