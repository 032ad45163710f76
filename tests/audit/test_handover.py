"""A chain of handovers, and every way to break it."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import handover
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.handover import Epoch, Handover
from appliance.errors import AuditRefused
from tests.audit.logs import ORIGIN, flip

OLD, NEXT, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
FIRST = Epoch.first(VerifierKey(ORIGIN, OLD.public_key().public_bytes_raw()))


def signed(
    old: Ed25519PrivateKey = OLD, epoch: int = 0, size: int = 7, origin: str = ORIGIN
) -> Handover:
    fields = handover.fields(origin, epoch, size, old, NEXT)
    return Handover.of({**fields, "kind": handover.KIND, "epoch": epoch, "seq": size - 1})


def test_the_key_that_is_signed_for_follows() -> None:
    following = FIRST.after(signed())
    assert (following.number, following.start) == (1, 7)
    assert following.key == VerifierKey(ORIGIN, NEXT.public_key().public_bytes_raw())
    assert FIRST.through([signed(), signed(NEXT, 1, 9)]).number == 2
    assert FIRST.through([]) == FIRST


@pytest.mark.parametrize(
    "wrong",
    [
        signed(OTHER),
        signed(epoch=1),
        replace(signed(), size=0),
        signed(origin="other.example/log"),
        replace(signed(), size=8),
        replace(signed(), next_key=OTHER.public_key().public_bytes_raw()),
        replace(signed(), signature=flip(signed().signature)),
    ],
)
def test_any_other_handover_is_refused(wrong: Handover) -> None:
    with pytest.raises(AuditRefused) as caught:
        FIRST.after(wrong)
    assert caught.value.code == "handover_invalid"


def test_a_record_is_112_bytes() -> None:
    record = signed().encode()
    assert len(record) == 112
    assert Handover.decode(record) == signed()
    for other in (record[:-1], record + b"\0", b""):
        with pytest.raises(AuditRefused):
            Handover.decode(other)


def test_an_entry_of_another_kind_is_no_handover() -> None:
    with pytest.raises(AuditRefused):
        Handover.of({"kind": "admin", "epoch": 0, "seq": 1})


@pytest.mark.parametrize(("epoch", "size"), [(-1, 7), (0, 0), (0, -5)])
def test_numbers_that_no_record_holds_are_refused(epoch: int, size: int) -> None:
    with pytest.raises(AuditRefused):
        signed(epoch=epoch, size=size)


def test_the_statement_can_be_taken_for_nothing_else() -> None:
    assert b" " in handover.statement(ORIGIN, 0, 7, bytes(32)).split(b"\n")[0]
