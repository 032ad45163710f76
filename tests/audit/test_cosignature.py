"""Cosignatures of witnesses, to the byte of C2SP tlog-cosignature."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import COSIGNATURES, Checkpoint, VerifierKey, sign, signature_line
from appliance.audit.cosignature import is_cosigned, message, verify_cosigned, witness_key
from appliance.errors import AuditRefused
from tests.audit.logs import ORIGIN

LOG, WITNESS = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
HEAD = Checkpoint(ORIGIN, 7, bytes(32))
KEY = VerifierKey("w.example/witness", WITNESS.public_key().public_bytes_raw(), COSIGNATURES)


def cosigned(
    head: Checkpoint = HEAD, key: VerifierKey = KEY, seconds: int = 1_764_000_000
) -> bytes:
    value = seconds.to_bytes(8) + WITNESS.sign(message(head, seconds))
    return sign(head, LOG) + signature_line(key.name, key.key_id, value).encode()


def test_what_is_signed_is_c2sps() -> None:
    text = message(Checkpoint("example.com/behind-the-sofa", 20852163, bytes(32)), 1679315147)
    assert text.startswith(
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
    )


def test_a_cosigned_head_and_its_time() -> None:
    assert is_cosigned(cosigned(), KEY)
    assert verify_cosigned(cosigned(), ORIGIN, KEY) == (HEAD, 1_764_000_000)
    assert not is_cosigned(sign(HEAD, LOG), KEY)


def test_everything_else_is_refused() -> None:
    other = VerifierKey(KEY.name, LOG.public_key().public_bytes_raw(), COSIGNATURES)
    as_log = VerifierKey(KEY.name, KEY.public)
    for note, key, origin in [
        (sign(HEAD, LOG), KEY, ORIGIN),
        (cosigned(), other, ORIGIN),
        (cosigned(), as_log, ORIGIN),
        (cosigned(), KEY, "other.example/log"),
        (cosigned(key=other), other, ORIGIN),
        (cosigned().replace(b"\n7\n", b"\n8\n"), KEY, ORIGIN),
        (sign(HEAD, LOG) + signature_line(KEY.name, KEY.key_id, b"short").encode(), KEY, ORIGIN),
    ]:
        with pytest.raises(AuditRefused) as caught:
            verify_cosigned(note, origin, key)
        assert caught.value.code == "checkpoint_invalid"


def test_keys_of_logs_and_witnesses_are_not_mixed_up() -> None:
    assert witness_key(KEY.encode().encode()) == KEY
    with pytest.raises(AuditRefused):
        VerifierKey.parse(KEY.encode().encode())
    with pytest.raises(AuditRefused):
        witness_key(VerifierKey(KEY.name, KEY.public).encode().encode())
