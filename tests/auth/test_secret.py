"""The form of a secret."""

from appliance.auth.secret import new_id, new_secret, parse


def test_a_secret_parses_to_its_key_and_hash() -> None:
    key_id = new_id()
    secret, digest = new_secret(key_id)
    assert parse(secret) == (key_id, digest) and len(digest) == 32
    assert new_secret(key_id) != (secret, digest)


def test_anything_else_is_no_secret() -> None:
    secret, _ = new_secret(new_id())
    for other in ("", secret + "=", secret[1:], secret.upper(), secret + "\n", secret * 1000):
        assert parse(other) is None
