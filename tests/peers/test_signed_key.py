"""A travelling key: everything that a row permits, and no secret."""

import msgspec
import pytest

from appliance.auth.key import ApiKey, KeyRow
from appliance.errors import PolicyRefused
from appliance.peers.signed_key import SignedKey, told
from appliance.types import KeyUsage, Limits, Priority
from tests.trust.forge import new_key
from tests.trust.policies import code_of, hint, parsed, put

MEMBER, OTHER = new_key(), new_key()
KEY = ApiKey(
    "0123456789ab", "crm", "app", ("m", "n"), 5, 6, None, 7, Limits(1, 2, 3, 4, Priority.BATCH),
    8, bytes(range(32)), KeyUsage(1, 2, 3), "off", True, True, True,
)  # fmt: skip
ROW = KeyRow(KEY, b"s" * 32, b"o" * 32)
SIGNED = SignedKey.of(ROW, 3, "ab" * 32, 1_764_000_000_000_000)


def test_a_key_arrives_as_it_left_without_its_use() -> None:
    back = SignedKey.open(SIGNED.sign(MEMBER)).said
    assert back == SIGNED and back.row == told(ROW)
    assert back.row.key.usage == KeyUsage() and back.row.key.last_used_us is None
    plain = ApiKey("0123456789ab", "crm", "queue", (), 5)
    row = KeyRow(plain, b"s" * 32, None)
    signed = SignedKey.of(row, 1, "ab" * 32, 0).sign(MEMBER)
    assert SignedKey.open(signed).said.row == row


def test_every_field_of_a_key_travels_or_is_its_use() -> None:
    """A field that is added to keys must be added here."""
    use = {"last_used_us", "usage"}
    columns = {"secret_sha256", "old_sha256", "version", "site", "time"}
    assert set(SignedKey.__struct_fields__) - columns == set(vars(KEY)) - use


@pytest.mark.parametrize(
    ("name", "value"), [
        ("id", "0123"), ("id", "../../etc/pw"), ("version", 0), ("version", 1 << 40),
        ("time", "2026-13-41T00:00:00Z"), ("time", "now"), ("name", "a\x1b[2J"), ("name", ""),
        ("name", "x" * 65), ("role", "admin"), ("secret_sha256", "s"), ("expires_us", -1),
        ("content", "plain"), ("site", "x"), ("models", ("x" * 201,)), ("certificate", ""),
        ("limits", msgspec.structs.replace(SIGNED.limits, rpm=0)),
        ("limits", msgspec.structs.replace(SIGNED.limits, weight=10_000)),
    ],
)  # fmt: skip
def test_what_could_not_be_made_here_is_refused(name: str, value: object) -> None:
    with pytest.raises(PolicyRefused) as caught:
        msgspec.structs.replace(SIGNED, **{name: value}).sign(MEMBER)
    assert caught.value.code == "travelling_malformed"


def test_only_a_listed_appliance_signs() -> None:
    from tests.trust.policy.test_members import SITE

    policy = parsed(put("", "site", SITE))
    envelope = SIGNED.sign(MEMBER)
    assert code_of(lambda: SignedKey.verify(envelope, policy)) == "member_not_listed"
    forged = envelope.replace(hint(MEMBER).encode(), next(iter(policy.site.members)).encode())
    assert code_of(lambda: SignedKey.verify(forged, policy)) == "travelling_signature"
