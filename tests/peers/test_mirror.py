"""A mirror keeps the entries of a log as they came, and cosigns only what is that log."""

import base64
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.audit import anchors
from appliance.audit.epoch import EpochLimits
from appliance.audit.pruning import SignedPrune
from appliance.clock import FixedClock
from appliance.errors import PolicyRefused
from appliance.peers.mirror import MirrorAsked, MirroredLogs, MirrorTold
from appliance.peers.mirroring import MirrorLink
from appliance.trust.bytes import ecdsa
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import approval
from appliance.trust.statements.approval import PrunedEntries
from tests.audit.segmented import ROWS, fill, prune
from tests.peers.appliances import MINUTE_S, Member, member
from tests.trust import policies
from tests.trust.forge import new_key

POLICY = policies.parsed()
OFFICERS = {"Alice": policies.ALICE, "Bob": policies.BOB}
SHORT = EpochLimits(seconds=600, rows=8, idle_seconds=600)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def pair(tmp_path: Path, clock: FixedClock) -> Iterator[tuple[Member, Member]]:
    with member(tmp_path / "a", "a", clock) as a, member(tmp_path / "b", "b", clock) as b:
        a.meets(b)
        yield a, b


@pytest.fixture
def mirror(pair: tuple[Member, Member], tmp_path: Path) -> Iterator[MirroredLogs]:
    made = MirroredLogs(tmp_path / "b", pair[1].witness, pair[1].clock)
    yield made
    made.close()


def link(a: Member, b: Member, mirror: MirroredLogs) -> MirrorLink:
    def ask(batch: anchors.LogBatch | None, pruned: SignedPrune | None) -> MirrorTold:
        asked = MirrorAsked.of("hint", b.reader.origin, batch, pruned)
        return mirror.keep(a.keys.log, asked, POLICY)

    return MirrorLink("b", b.witness.key, a.reader, ask)


def signing(
    subject: PrunedEntries, keys: dict[str, ecdsa.PrivateKey] = OFFICERS
) -> Callable[[str], str]:
    """Signs for a person."""

    def signed(name: str) -> str:
        key = keys[name]
        given = approval.sign(subject, name=name, meaning="old", time_us=1, private_key=key)
        return given.decode()

    return signed


def going(one: Member, before: int) -> PrunedEntries:
    return PrunedEntries(one.reader.origin, before, one.reader.root_before(before))


def bodies(one: Member, first: int) -> list[bytes]:
    return [entry.raw for entry in one.reader.range(first, 500)]


def test_a_mirror_keeps_what_was_written_since_it_began(
    pair: tuple[Member, Member], mirror: MirroredLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    line = link(a, b, mirror)
    line.send()
    begun = a.reader.size
    assert (line.problem, line.size) == ("", begun) and not line.has(begun - 1)
    monkeypatch.setattr(anchors, "_MOST_ENTRIES", 4)
    for words in ("ab", "cd", "ef"):
        a.write(*words)
    while line.size < a.reader.size:
        line.send()
        assert line.problem == ""
    assert line.has(begun) and line.has(a.reader.size - 1)
    assert mirror.entries(a.keys.log) == bodies(a, begun)
    asked = len(b.found)
    line.send()
    assert len(b.found) == asked and b.witness.peer("a").size == a.reader.size


def test_keys_that_change_and_links_that_begin_again_lose_nothing(
    tmp_path: Path, clock: FixedClock
) -> None:
    with member(tmp_path / "b", "b", clock) as b:
        mirror = MirroredLogs(tmp_path / "b", b.witness, clock)
        begun, made = 0, None
        for turn in range(4):
            with member(tmp_path / "a", "a", clock, made, epochs=SHORT) as a:
                made = a.directory
                a.meets(b)
                if turn == 1:  # the ring sees more than the mirror has
                    a.asks(b).ask()
                line = link(a, b, mirror)
                line.send()
                begun = begun or line.size
                for _ in range(3):
                    clock.advance(10 * MINUTE_S)
                    a.write(*"abcdefgh")
                    line.send()
                    assert line.problem == ""
                assert line.size == a.reader.size and line.first == begun
                assert mirror.entries(a.keys.log) == bodies(a, begun)
        assert b.found == []
        mirror.close()


def test_a_mirror_that_was_put_back_goes_on(
    pair: tuple[Member, Member], mirror: MirroredLogs, tmp_path: Path
) -> None:
    a, b = pair
    line = link(a, b, mirror)
    line.send()
    begun = line.size
    a.write("one")
    line.send()
    (tmp_path / "old").mkdir()
    for file in (tmp_path / "b").glob("site_mirror.db*"):
        shutil.copy(file, tmp_path / "old")
    a.write("two")
    line.send()
    old = MirroredLogs(tmp_path / "old", b.witness, b.clock)
    line._ask = link(a, b, old)._ask
    a.write("three")
    while line.size < a.reader.size:
        line.send()
    assert old.entries(a.keys.log) == bodies(a, begun) and b.found == []
    old.close()


@contextlib.contextmanager
def mirrored(
    place: Path, clock: FixedClock
) -> Iterator[tuple[Member, Member, MirroredLogs, MirrorLink]]:
    """A log in segments that can be pruned, its mirror's appliance, the mirror, and the link."""
    with (
        member(place / "a", "a", clock, segmented=True) as a,
        member(place / "b", "b", clock) as b,
    ):
        a.meets(b)
        mirror = MirroredLogs(place / "b", b.witness, clock)
        line = link(a, b, mirror)
        line.send()
        yield a, b, mirror, line


def test_a_mirror_that_lacks_what_was_pruned_goes_on(tmp_path: Path, clock: FixedClock) -> None:
    with mirrored(tmp_path, clock) as (a, b, mirror, line):
        a.write("kept")
        line.send()
        left, kept = line.size, mirror.entries(a.keys.log)
        fill(a.log, 2 * ROWS + 10)  # receipts were not mirrored meanwhile
        a.asks(b).ask()  # or they could not be pruned
        begun = b.witness.seen(a.keys.log).size
        signed = signing(going(a, 2 * ROWS))
        prune(a.log, a.directory, 2 * ROWS, *OFFICERS, envelope=signed)
        assert a.reader.first == 2 * ROWS > left
        line, true = link(a, b, mirror), a.reader.pruned()
        assert true is not None
        with pytest.MonkeyPatch.context() as forged:
            one = msgspec.structs.replace(true, envelopes=true.envelopes[:1])
            forged.setattr(a.reader, "pruned", lambda: one)
            line.send(begun)
        assert line.problem == "not_approved: 1 of 2 approvers have approved."
        assert mirror.entries(a.keys.log) == kept
        a.write(*"abc")
        while line.size < a.reader.size:
            line.send(begun)
            assert line.problem == ""
        assert mirror.entries(a.keys.log) == bodies(a, begun) and line.first == begun
        a.write("d")
        line.send()  # the gap is forgotten
        assert line.has(a.reader.size - 1) and not line.has(left) and b.found == []
        mirror.close()


def test_a_mirror_of_an_older_release_keeps_what_was_pruned_and_goes_on(
    tmp_path: Path, clock: FixedClock
) -> None:
    with mirrored(tmp_path, clock) as (a, _, mirror, line):
        begun, newer = line.size, line._ask

        def older(batch: anchors.LogBatch | None, pruned: SignedPrune | None) -> MirrorTold:
            if pruned is not None:  # a field that it does not know
                raise ConnectionError("it answered 403: travelling_malformed")
            return newer(batch, None)

        def sends() -> None:
            while line.size < a.reader.size:
                line.send()
                assert line.problem == ""

        line._ask = older
        fill(a.log, ROWS + 10)
        sends()
        prune(a.log, a.directory, ROWS, *OFFICERS, envelope=signing(going(a, ROWS)))
        sends()
        assert line.refused == "it answered 403: travelling_malformed"
        kept = mirror.entries(a.keys.log)
        assert len(kept) == a.reader.size - begun
        line._ask = newer  # it was upgraded
        a.write("more")
        sends()
        assert line.refused == "" and mirror.entries(a.keys.log) == bodies(a, ROWS)
        mirror.close()


def test_a_stolen_log_key_makes_no_mirror_forget(tmp_path: Path, clock: FixedClock) -> None:
    with mirrored(tmp_path, clock) as (a, b, mirror, line):
        begun = line.size
        fill(a.log, ROWS + 10)
        while line.size < a.reader.size:
            line.send()
        true, other = going(a, ROWS), going(a, ROWS - 1)
        mallory = {name: new_key() for name in OFFICERS}
        prune(a.log, a.directory, ROWS, *OFFICERS, envelope=signing(true, mallory))
        assert a.reader.first == ROWS
        line.send()
        assert line.problem == "" and line.size == a.reader.size
        assert line.refused == "not_approved: 0 of 2 approvers have approved."
        kept = mirror.entries(a.keys.log)
        assert len(kept) == a.reader.size - begun  # nothing else waits
        alice, bob = map(signing(true), OFFICERS)
        again = signing(true, {"Alice": policies.ALICE_TOO})("Alice")
        paula = signing(true, {"Paula": policies.PUBLISHER})("Paula")
        elsewhere = PrunedEntries("c.example/audit", true.before, true.root)

        def forged(policy: TrustPolicy, *envelopes: str) -> str:
            batch, asked = a.reader.batch(line.size, None), SignedPrune(ROWS, true.root, envelopes)
            return mirror.keep(
                a.keys.log, MirrorAsked.of("hint", b.reader.origin, batch, asked), policy
            ).refused

        cases = {
            "nobody": (),
            "no envelope": ("{}", ""),
            "one of two": (alice,),
            "one twice": (alice, alice, again),
            "no approver": (alice, paula),
            "another name": (alice, signing(true, {"Bob": policies.ALICE_TOO})("Bob")),
            "fewer entries": map(signing(other), OFFICERS),
            "another log": map(signing(elsewhere), OFFICERS),
        }
        for name, envelopes in cases.items():
            assert forged(POLICY, *envelopes).startswith("not_approved: "), name
        gone = policies.parsed(policies.put("revoked", "keys", [policies.hint(policies.BOB)]))
        assert forged(gone, alice, bob).startswith("not_approved: 1 of 2")
        assert mirror.entries(a.keys.log) == kept
        assert forged(POLICY, alice, bob) == ""  # the control
        assert mirror.entries(a.keys.log) == kept[ROWS - begun :]
        mirror.close()


def test_no_gap_is_taken_in_a_log_that_has_the_entries(
    pair: tuple[Member, Member], mirror: MirroredLogs
) -> None:
    a, b = pair
    line = link(a, b, mirror)
    line.send()
    begun = line.size
    a.write(*"ab")
    a.asks(b).ask()
    seen = a.reader.size
    a.write("c")
    asked = MirrorAsked.of("hint", b.reader.origin, a.reader.batch(seen, begun))
    told = mirror.keep(a.keys.log, asked, POLICY)
    assert (told.size, told.line) == (begun, "") and mirror.entries(a.keys.log) == []
    line.send()
    assert mirror.entries(a.keys.log) == bodies(a, begun)


def test_an_entry_of_before_the_first_that_it_keeps_gets_there(
    pair: tuple[Member, Member], mirror: MirroredLogs
) -> None:
    a, b = pair
    a.write(*"abcd")
    line = link(a, b, mirror)
    line.send()
    begun = line.size
    a.write("e")
    line.send()
    assert line.has(begun) and not line.has(begun - 1)
    a.write("f")
    line.send(begun - 3)
    assert line.problem == "" and line.first == begun - 3 and line.has(begun - 1)
    assert mirror.entries(a.keys.log) == bodies(a, begun - 3) and b.found == []
    a.write("g")
    line.send()
    assert mirror.entries(a.keys.log) == bodies(a, begun - 3)


def test_a_forked_log_gets_nothing_and_is_named(
    pair: tuple[Member, Member], mirror: MirroredLogs, tmp_path: Path, clock: FixedClock
) -> None:
    a, b = pair
    line = link(a, b, mirror)
    line.send()
    copy = shutil.copytree(a.directory, tmp_path / "copy")
    a.write(*"abcd")
    line.send()
    kept = mirror.entries(a.keys.log)
    with member(tmp_path / "put back", "a", clock, copy) as old:
        old.meets(b)
        other = link(old, b, mirror)
        other.send()
        assert other.problem  # it is shorter than what was seen
        old.write(*(f"other {n}" for n in range(20)))
        other.send()
        assert "not those that were seen" in other.problem
        assert [one["action"] for one in b.found] == ["peer_log_differs"]
        assert "not those that were seen" in b.witness.peer("a").differs
    assert mirror.entries(a.keys.log) == kept
    a.write("more")
    line.send()  # the control: the true log goes on, and the alarm ends
    assert line.size == a.reader.size and b.witness.peer("a").differs == ""


def test_a_fork_of_before_what_the_ring_saw_is_named(
    pair: tuple[Member, Member], mirror: MirroredLogs, tmp_path: Path, clock: FixedClock
) -> None:
    a, b = pair
    copy = shutil.copytree(a.directory, tmp_path / "copy")
    a.write(*"abcd")
    a.asks(b).ask()
    with member(tmp_path / "put back", "a", clock, copy) as old:
        old.meets(b)
        old.write(*(f"other {n}" for n in range(20)))
        other = link(old, b, mirror)
        other.send(2)  # nothing is kept yet, so older entries are taken
        assert "not those that were seen" in other.problem
        assert mirror.entries(a.keys.log) == [] and b.witness.peer("a").differs
    line = link(a, b, mirror)
    line.send(2)  # the control
    assert line.first == 2 and mirror.entries(a.keys.log) == bodies(a, 2)
    assert b.witness.peer("a").differs == ""


def test_entries_that_are_not_those_of_the_head_are_not_kept(
    pair: tuple[Member, Member], mirror: MirroredLogs
) -> None:
    a, b = pair
    line = link(a, b, mirror)
    line.send()
    a.write(*"ab")
    true = MirrorAsked.of("hint", b.reader.origin, a.reader.batch(line.size, None))

    def but(**changed: Any) -> MirrorAsked:
        return msgspec.structs.replace(true, **changed)

    forged = [body.replace('"a"', '"z"') for body in true.bodies]
    text, _, value = true.note.rpartition(" ")
    other = bytearray(base64.b64decode(value))
    other[-1] ^= 1
    cases = {
        "changed": but(bodies=tuple(forged)),
        "left out": but(bodies=true.bodies[:1]),
        "in another order": but(bodies=true.bodies[::-1]),
        "no entries": but(bodies=("{}",)),
        "other subtrees": but(peaks=tuple(bytes(32) for _ in true.peaks)),
        "too few subtrees": but(peaks=true.peaks[1:]),
        "signed by nobody": but(note=f"{text} {base64.b64encode(other).decode()}\n"),
        "no note": but(note="x"),
        "no change of keys": but(handovers=(b"x",)),
    }
    for name, asked in cases.items():
        with pytest.raises(PolicyRefused) as caught:
            mirror.keep(a.keys.log, asked, POLICY)
        assert caught.value.code == "travelling_malformed", name
    assert mirror.entries(a.keys.log) == []
    elsewhere = mirror.keep(a.keys.log, but(first=true.first + 1), POLICY)
    assert (elsewhere.size, elsewhere.line) == (line.size, "")
    assert mirror.keep(a.keys.log, true, POLICY).line  # the control
    assert mirror.entries(a.keys.log) == bodies(a, line.size)
