"""Encrypted streams: who opens them, and refusal of changed ones."""

import io
import os
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.errors import Refused
from appliance.trust.bytes import ecdsa, sealed_stream
from appliance.trust.bytes.sealed_stream import CHUNK, MAGIC, StreamHeader, seal, unseal

ANN, BEN, EVE = (
    ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
)
SEALED = CHUNK + 16


def sealed(content: bytes, *keys: ecdsa.PrivateKey) -> bytes:
    target = io.BytesIO()
    seal(io.BytesIO(content), target, [key.public_key() for key in keys])
    return target.getvalue()


def opened(data: bytes, key: ecdsa.PrivateKey) -> bytes:
    target = io.BytesIO()
    unseal(io.BytesIO(data), target, key)
    return target.getvalue()


def refused(data: bytes, key: ecdsa.PrivateKey = ANN) -> str:
    target = io.BytesIO()
    with pytest.raises(Refused) as caught:
        unseal(io.BytesIO(data), target, key)
    assert len(target.getvalue()) % CHUNK == 0  # whole chunks, of the true beginning
    return caught.value.code


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_each_of_its_people_opens_it_and_nobody_else(size: int) -> None:
    content = os.urandom(size)
    data = sealed(content, ANN, BEN)
    assert opened(data, ANN) == opened(data, BEN) == content
    assert refused(data, EVE) == "backup_other_key"
    assert content[:64] not in data or size < 16


def test_a_stream_to_nobody_is_not_made() -> None:
    with pytest.raises(Refused) as caught:
        sealed(b"x")
    assert caught.value.code == "backup_recipients"


def test_what_was_changed_is_refused() -> None:
    content = os.urandom(3 * CHUNK + 5)
    data, other = sealed(content, ANN, BEN), sealed(os.urandom(3 * CHUNK + 5), ANN, BEN)
    begin = len(data) - 3 * SEALED - 21
    head, body = data[:begin], data[begin:]
    chunks = [body[n * SEALED : (n + 1) * SEALED] for n in range(4)]
    theirs = other[begin : begin + SEALED]
    assert opened(head + b"".join(chunks), ANN) == content  # the control
    changed = {
        "cut off at the end of a chunk": head + b"".join(chunks[:3]),
        "cut off within a chunk": data[:-3],
        "two chunks change places": head + chunks[1] + chunks[0] + chunks[2] + chunks[3],
        "a chunk comes twice": head + chunks[0] + chunks[0] + chunks[2] + chunks[3],
        "a chunk is gone": head + chunks[0] + chunks[2] + chunks[3],
        "a chunk of another stream": head + theirs + b"".join(chunks[1:]),
        "the header of another stream": other[:begin] + body,
        "more at the end": data + b"\0",
        "one bit": data[:-1] + bytes([data[-1] ^ 1]),
        "no header": head[: len(MAGIC) + 9],
        "a header that is too long": MAGIC + b"\xff\xff\xff\xff" + data,
        "nothing": b"",
        "a plain archive": bytes(1024),
    }
    assert {name: refused(one) for name, one in changed.items()} == dict.fromkeys(
        changed, "backup_damaged"
    )


def swapped(change: Callable[[StreamHeader], StreamHeader]) -> bytes:
    data = sealed(b"text", ANN, BEN)
    size = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4])
    end = len(MAGIC) + 4 + size
    found = msgspec.json.decode(data[len(MAGIC) + 4 : end], type=StreamHeader)
    header = msgspec.json.encode(change(found))
    return MAGIC + len(header).to_bytes(4) + header + data[end:]


def test_a_header_that_was_changed_opens_nothing() -> None:
    def points(found: StreamHeader) -> StreamHeader:
        ann, ben = found.recipients
        return StreamHeader((msgspec.structs.replace(ann, point=bytes(65)), ben))

    def fewer(found: StreamHeader) -> StreamHeader:
        return StreamHeader(found.recipients[:1])  # each chunk says who else could open it

    assert opened(swapped(lambda found: found), ANN) == b"text"  # the control
    for change in (points, fewer):
        assert refused(swapped(change)) == "backup_damaged"


def test_the_format_is_what_the_docstring_says() -> None:
    """Another program, written from the rules only, opens it."""
    data = sealed(b"text of a backup", BEN)
    size = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4])
    header = data[len(MAGIC) + 4 : len(MAGIC) + 4 + size]
    (mine,) = msgspec.json.decode(header, type=StreamHeader).recipients
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(BEN.curve, mine.point)
    half = BEN.public_key().public_numbers()
    point = b"\4" + half.x.to_bytes(48) + half.y.to_bytes(48)

    def sha256(content: bytes) -> bytes:
        from hashlib import sha256

        return sha256(content).digest()

    salt = sha256(mine.point + point)
    wrapping = HKDF(SHA256(), 32, salt, MAGIC).derive(BEN.exchange(ec.ECDH(), theirs))
    key = AESGCM(wrapping).decrypt(bytes(12), mine.wrapped, MAGIC)
    last = bytes(11) + b"\1"
    text = AESGCM(key).decrypt(last, data[len(MAGIC) + 4 + size :], sha256(header))
    assert text == b"text of a backup"


def test_what_was_written_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    true = sealed_stream._header
    monkeypatch.setattr(sealed_stream, "_header", lambda source: true(source)[:-1])
    with pytest.raises(Refused) as caught:
        sealed(b"text", ANN)
    assert caught.value.code == "backup_damaged"
