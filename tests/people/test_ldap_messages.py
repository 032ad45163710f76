"""Messages of LDAP: written bytes, comparable names, and bytes that are no answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.people import ldap_messages as messages
from appliance.people.ldap_messages import (
    DirectoryEntry,
    DirectoryError,
    DirectoryResult,
    either,
    equal,
    every,
    folded,
    in_chain,
)
from tests.people.directory import bound, done, entry


def body(message: bytes) -> bytes:
    """Without tag and length, which has four bytes."""
    return message[6:]


def test_a_bind_as_it_is_in_bytes() -> None:
    made = messages.bind(1, "cn=a", "pw")
    assert made == b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw"


def test_an_unbind_as_it_is_in_bytes() -> None:
    assert messages.unbind(5) == b"\x30\x05\x02\x01\x05\x42\x00"


@pytest.mark.parametrize(("dn", "password"), [("", "pw"), ("cn=a", ""), ("", "")])
def test_a_bind_of_nobody_is_refused(dn: str, password: str) -> None:
    with pytest.raises(DirectoryError):
        messages.bind(1, dn, password)


def test_filters_as_they_are_in_bytes() -> None:
    assert equal("a", "*)(b=") == b"\xa3\x0a\x04\x01a\x04\x05*)(b="
    assert every(b"x", b"y") == b"\xa0\x02xy" and either(b"x") == b"\xa1\x01x"
    rule = b"1.2.840.113556.1.4.1941"
    assert in_chain("m", "d") == b"\xa9\x1f\x81\x17" + rule + b"\x82\x01m\x83\x01d"


def test_a_search_as_it_is_in_bytes() -> None:
    made = messages.search(200, "dc=x", equal("a", "b"), ("1.1",), 5, b"c")
    asked = bytes.fromhex("63 24 04 04 64633d78 0a0102 0a0100 020100 020100 010100")
    asked += equal("a", "b") + b"\x30\x05\x04\x031.1"
    control = (
        b"\x30\x25\x04\x161.2.840.113556.1.4.319\x01\x01\xff\x04\x08\x30\x06\x02\x01\x05\x04\x01c"
    )
    assert made == b"\x30\x53\x02\x02\x00\xc8" + asked + b"\xa0\x27" + control


def test_answers() -> None:
    found = messages.read(body(entry(3, "cn=a", {"Mail": ["x", "y"]})), 3)
    assert found == DirectoryEntry("cn=a", {"mail": (b"x", b"y")})
    assert messages.read(body(bound(1, 49)), 1) == DirectoryResult(True, 49)
    assert messages.read(body(done(1, cookie=b"c")), 1) == DirectoryResult(False, 0, b"c")
    with pytest.raises(DirectoryError):
        messages.read(body(bound(1)), 2)


@given(st.binary(max_size=200))
def test_bytes_are_an_answer_or_refused(data: bytes) -> None:
    for whole in (data, body(done(1))[: len(data)], body(entry(1, "a", {"b": [data]})) + data):
        try:
            found = messages.read(whole, 1)
        except DirectoryError:
            continue
        assert found is None or isinstance(found, DirectoryEntry | DirectoryResult)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CN=Board,DC=Site", "cn=board , dc=site"),
        (r"cn=A\, B,dc=site", r"cn=a\2c b,dc=site"),
        (r"cn=J\C3\BCrgen,dc=site", "cn=J\u00fcrgen,dc=site"),
        (r"cn=a\=b,dc=site", "cn=a=b,dc=site"),
        (r"cn=a\\,dc=site", r"cn=a\5C,dc=site"),
    ],
)
def test_two_spellings_of_a_name(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"cn=a\\2Cb", r"cn=a\2Cb"),  # a backslash and three letters
        (r"cn=a\,b", "cn=a,b"),
        ("cn=a = b", "cn=a=b"),
        ("cn=\u0130", "cn=i"),
        ("cn=\u212a", "cn=k"),
        ("cn=\uff41", "cn=a"),
        (r"cn=a\ ,dc=b", "cn=a,dc=b"),
        (r"cn=\FF", "cn=\u00ff"),
        ("cn=a  b", "cn=a b"),
    ],
)
def test_two_names(one: str, other: str) -> None:
    assert folded(one) != folded(other)


@given(st.text(st.sampled_from("aA,+= \\2C\u00fc#"), max_size=12))
def test_folding_twice_changes_nothing(name: str) -> None:
    assert folded(folded(name)) == folded(name)
