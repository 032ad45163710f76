"""One door for all kinds: differences converge, waiting documents are tried again, pages end."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from appliance.db import open_database
from appliance.errors import PolicyRefused, StateRefused
from appliance.peers import travelling
from appliance.peers.documents import TABLES, TravelLine, TravellingDocument, TravelStore
from appliance.peers.travelling import Travelling
from appliance.trust.policy.policy import TrustPolicy
from tests.trust.policies import parsed


class Registers:
    """A kind whose documents are "ID VERSION VALUE", and end with the value `end`."""

    name = "register"

    def __init__(self) -> None:
        self.here: dict[str, str] = {}
        self.signed: dict[str, tuple[int, str]] = {}
        self.closed = False

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        name, version, value = envelope.decode().split()
        digest = hashlib.sha256(envelope).hexdigest()
        return TravellingDocument("register", name, int(version), digest, envelope, value == "end")

    def apply(self, document: TravellingDocument, policy: TrustPolicy) -> None:
        if self.closed:
            raise StateRefused("unknown_model_id", "not yet")
        name, version, value = document.envelope.decode().split()
        self.here[name], self.signed[name] = value, (int(version), value)

    def made(self, policy: TrustPolicy) -> Iterator[TravellingDocument]:
        for name, value in self.here.items():
            version, said = self.signed.get(name, (0, ""))
            if said != value:
                self.signed[name] = version + 1, value
                yield self.read(f"{name} {version + 1} {value}".encode(), policy)


class Holder:
    def __init__(self, database: Any) -> None:
        self.kind, self.policy = Registers(), parsed()
        self.store = TravelStore(database)
        self.travelling = Travelling(
            self.store, [self.kind], lambda: self.policy, lambda policy: True
        )

    def hears(self, other: "Holder") -> None:
        other.travelling.publish()
        self.travelling.publish()
        _, refused = self.travelling.take_all(list(other.travelling.all()))
        assert refused == []


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[list[Holder]]:
    with ExitStack() as stack:
        made = []
        for name in "abc":
            database = open_database(tmp_path / f"{name}.db", (TABLES,))
            stack.callback(database.dispose)
            made.append(Holder(database))
        yield made


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_order_all_end_alike_and_what_ended_stays(
    holders: list[Holder], seed: int
) -> None:
    chance = random.Random(seed)
    ended = set()
    for _ in range(30):
        one, other = chance.sample(holders, 2)
        name = chance.choice("xyz")
        match chance.randrange(8):
            case 0:
                one.kind.here[name] = "end"
                ended.add(name)
            case 1 | 2 | 3:
                one.kind.here[name] = str(chance.randrange(100))
            case _:
                one.hears(other)
    for _ in range(3):
        for one in holders:
            for other in holders:
                if one is not other:
                    one.hears(other)
    told = [one.kind.here for one in holders]
    assert told[0] == told[1] == told[2]
    # one that was changed before it was told is not the end that it was
    known = {name for name in ended if any("end" in o.kind.signed.get(name, ()) for o in holders)}
    assert all(told[0][name] == "end" for name in known)


def test_what_waits_is_kept_and_tried_again(holders: list[Holder]) -> None:
    a, b, _ = holders
    a.kind.here["x"], b.kind.closed = "1", True
    b.hears(a)
    assert [(one.code, one.message) for one in b.travelling.waiting()] == [
        ("unknown_model_id", "x")
    ]
    b.travelling.publish()
    assert len(b.travelling.waiting()) == 1
    b.kind.closed = False
    b.travelling.publish()
    assert b.travelling.waiting() == [] and b.kind.here == {"x": "1"}


def test_a_kind_of_a_newer_release_keeps_nothing_else_away(holders: list[Holder]) -> None:
    a = holders[0]
    lines = [TravelLine("look", "{}"), TravelLine("register", "x 1 1")]
    new, refused = a.travelling.take_all(lines)
    assert new == 1 and [one.code for one in refused] == ["travelling_unknown_kind"]
    with pytest.raises(PolicyRefused) as caught:
        a.travelling.take(TravelLine("register", "x 0 7"), a.policy)
    assert caught.value.code == "travelling_older" and a.kind.here == {"x": "1"}


def test_what_a_newer_release_kept_here_stays_and_stops_nothing(holders: list[Holder]) -> None:
    """As after going back to an older release."""
    a, b, _ = holders
    newer = TravellingDocument("look", "l", 1, "00" * 32, b"{}")
    a.store.put(newer, "unknown_model_id")
    a.kind.here["x"] = "1"
    a.travelling.publish()
    assert [one.kind for one in a.travelling.waiting()] == ["look"]
    new, refused = b.travelling.take_all(list(a.travelling.all()))
    assert new == 1 and b.kind.here == {"x": "1"}
    assert [(one.kind, one.code) for one in refused] == [("look", "travelling_unknown_kind")]


def test_pages_hold_everything_once(holders: list[Holder], monkeypatch: pytest.MonkeyPatch) -> None:
    a = holders[0]
    a.travelling.take_all([TravelLine("register", f"x{n} 1 1") for n in range(25)])
    monkeypatch.setattr(travelling, "MOST", 10)
    first = a.travelling.page("run", 0)
    assert len(first.documents) == 10 and first.more
    assert len(list(a.travelling.all())) == 25
    monkeypatch.setattr(travelling, "_MOST_BYTES", 20)
    assert len(a.travelling.page("run", 0).documents) == 3
    assert len({line.envelope for line in a.travelling.all()}) == 25
