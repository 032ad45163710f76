"""Texts are bound to their key, place and entry, and gone with the key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit.content import (
    EncryptedText,
    Opener,
    commitment,
    decrypt,
    encrypt,
    kek_name,
    unwrap,
    wrap,
)
from appliance.errors import AuditRefused

DEK, KEK = bytes(range(32)), bytes(range(32, 64))


def unavailable(dek: bytes, key_id: str, name: str, sealed: EncryptedText) -> None:
    with pytest.raises(AuditRefused) as caught:
        decrypt(dek, key_id, name, sealed)
    assert caught.value.code == "content_unavailable"


@given(st.binary(max_size=200), st.text(max_size=8), st.text(max_size=8))
def test_a_text_comes_back(text: bytes, key_id: str, name: str) -> None:
    sealed = encrypt(DEK, key_id, name, text)
    assert decrypt(DEK, key_id, name, sealed) == text
    assert len(sealed.ciphertext) == len(text) + 16


def test_a_ciphertext_fits_one_key_and_one_place_only() -> None:
    sealed = encrypt(DEK, "id", "prompt", b"text")
    unavailable(KEK, "id", "prompt", sealed)
    unavailable(DEK, "di", "prompt", sealed)
    unavailable(DEK, "id", "completion", sealed)
    unavailable(DEK, "id", "prompt", EncryptedText(bytes(12), sealed.ciphertext))
    unavailable(DEK, "id", "prompt", EncryptedText(b"", sealed.ciphertext))
    unavailable(DEK, "id", "prompt", EncryptedText(sealed.nonce, sealed.ciphertext[:-1] + b"\0"))
    unavailable(DEK, "id", "prompt", EncryptedText(sealed.nonce, b""))


def test_equal_texts_look_different() -> None:
    first, second = (encrypt(DEK, "id", "prompt", b"text") for _ in range(2))
    assert first.digest() != second.digest()


def test_the_digest_covers_the_nonce() -> None:
    sealed = encrypt(DEK, "id", "prompt", b"text")
    assert EncryptedText(bytes(12), sealed.ciphertext).digest() != sealed.digest()


def test_a_commitment_needs_the_key_the_place_and_the_text() -> None:
    made = commitment(DEK, "id", "prompt", b"text")
    assert made == commitment(DEK, "id", "prompt", b"text")
    others = {
        commitment(KEK, "id", "prompt", b"text"),
        commitment(DEK, "di", "prompt", b"text"),
        commitment(DEK, "id", "completion", b"text"),
        commitment(DEK, "id", "prompt", b"texts"),
    }
    assert len(others | {made}) == 5


def test_the_bytes_of_a_commitment() -> None:
    # Written out with hmac alone (RFC 5869 and RFC 2104), so that the format cannot drift.
    import hmac

    extracted = hmac.digest(bytes(32), DEK, "sha256")
    info = b"appliance audit commitment v1|id|prompt"
    derived = hmac.digest(extracted, info + b"\x01", "sha256")
    assert commitment(DEK, "id", "prompt", b"text") == hmac.digest(derived, b"text", "sha256")


def test_a_wrapped_key_fits_its_id_and_kek_only() -> None:
    wrapped = wrap(KEK, "id", DEK)
    assert len(wrapped) == 60
    assert unwrap(KEK, "id", wrapped) == DEK
    for kek, key_id, data in [
        (DEK, "id", wrapped),
        (KEK, "di", wrapped),
        (KEK, "id", wrapped[:-1]),
        (KEK, "id", b""),
    ]:
        with pytest.raises(AuditRefused, match="does not unwrap"):
            unwrap(kek, key_id, data)


def test_the_newest_kek_wraps_and_each_unwraps() -> None:
    new = bytes(range(64, 96))
    both, id_ = new + KEK, "0" * 32
    old = wrap(KEK, id_, DEK)
    assert unwrap(both, id_, old) == unwrap(both, id_, wrap(both, id_, DEK)) == DEK
    again = Opener(both).rewrap(id_, old, both)
    assert unwrap(new, id_, again) == DEK and Opener(KEK).unwrap(id_, again) is None
    assert Opener(new).rewrap(id_, old, new) == old  # what it cannot open
    assert kek_name(both) == kek_name(new)


def test_a_kek_has_a_name_that_is_not_part_of_it() -> None:
    assert kek_name(KEK) != kek_name(DEK)
    assert bytes.fromhex(kek_name(KEK)) not in KEK
