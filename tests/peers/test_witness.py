"""This appliance as a witness: only a peer's own request counts against its log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.cosignature import verify_cosigned
from appliance.clock import FixedClock
from appliance.peers.cosigning import NotCosigned
from tests.peers.appliances import Member, member


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Member, Member]]:
    clock = FixedClock()
    with member(tmp_path / "a", "a", clock) as a, member(tmp_path / "b", "b", clock) as b:
        a.meets(b)
        yield a, b


def status(of: Member, body: bytes, sent: bytes = b"") -> int:
    with pytest.raises(NotCosigned) as caught:
        of.witness.add_checkpoint(body, sent)
    return caught.value.status


def test_an_old_head_that_anybody_sends_is_no_alarm(pair: tuple[Member, Member]) -> None:
    a, b = pair
    old = a.reader.witness_request(b.witness.key, 0)
    a.write("more")
    new = a.reader.witness_request(b.witness.key, 0)
    line = b.witness.add_checkpoint(new)
    note = new.partition(b"\n\n")[2]
    assert verify_cosigned(note + line, a.reader.origin, b.witness.key)[0].size == a.reader.size
    for sent in (b"", b.witness.sent(old), a.witness.sent(new)):
        assert status(b, old, sent) == 409
        assert b.witness.peer("a").differs == "" and not b.found
    assert status(b, old, a.witness.sent(old)) == 409  # the control: it comes from the peer
    assert b.witness.peer("a").differs and len(b.found) == 1


def test_what_is_no_request_gets_nothing(pair: tuple[Member, Member]) -> None:
    a, b = pair
    body = a.reader.witness_request(b.witness.key, 0)
    for broken in (b"", b"old 0", b"old x\n\n", body[:-3], b"handover AAAA\n" + body, b"\xff" * 99):
        assert status(b, broken) == 400
    assert status(a, body) == 404  # its own log is not one that it watches
    assert b.witness.peer("a").seen_us == 0
