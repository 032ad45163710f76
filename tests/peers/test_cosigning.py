"""A witness cosigns heads of the log that it saw, and no other."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import anchors, checkpoint
from appliance.audit.checkpoint import COSIGNATURES, VerifierKey
from appliance.audit.reader import LogReader
from appliance.peers.cosigning import NotCosigned, SeenLog, extended
from tests.audit.epochs import epochs_log

WITNESS = VerifierKey("w.example/witness", bytes(range(32)), COSIGNATURES)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[LogReader]:
    directory, _ = epochs_log(tmp_path / "log")
    found = LogReader(directory)
    yield found
    found.close()


def request(reader: LogReader, seen: int = 0) -> anchors.WitnessRequest:
    return anchors.read_request(reader.witness_request(WITNESS, seen))


def refused(seen: SeenLog, asked: anchors.WitnessRequest) -> tuple[int, int | None, bool]:
    with pytest.raises(NotCosigned) as caught:
        extended(seen, asked)
    return caught.value.status, caught.value.size, caught.value.other


def test_keys_are_followed_from_the_first_one_on(reader: LogReader) -> None:
    first = SeenLog.first(VerifierKey.parse(reader.genesis()))
    asked = request(reader)
    log = extended(first, asked)
    assert (log.size, log.epoch.number) == (
        reader.size,
        2,
    )  # the head over a handover is of the old key
    again = extended(log, request(reader, log.size))
    assert again == log
    assert refused(first, replace(asked, handovers=asked.handovers[1:]))[0] == 403
    assert refused(first, replace(asked, handovers=()))[0] == 403


def test_another_head_is_not_cosigned(reader: LogReader) -> None:
    first = SeenLog.first(VerifierKey.parse(reader.genesis()))
    asked = request(reader)
    log = extended(first, asked)
    assert refused(log, asked) == (409, log.size, False)  # it stopped elsewhere
    less = replace(log, size=log.size - 1)  # its root is of another tree
    assert refused(less, request(reader, less.size)) == (422, None, True)
    more = replace(log, size=log.size + 1)
    assert refused(more, request(reader, log.size)) == (409, more.size, True)
    other = replace(log, root=bytes(32))
    assert refused(other, request(reader, log.size)) == (422, None, True)
    head = checkpoint.parse(asked.note).checkpoint
    unsigned = replace(asked, note=checkpoint.sign(head, Ed25519PrivateKey.generate()))
    assert refused(first, unsigned) == (403, None, False)  # nothing was seen of it yet
    later = request(reader, log.size)
    assert refused(log, replace(later, note=unsigned.note)) == (403, None, True)
