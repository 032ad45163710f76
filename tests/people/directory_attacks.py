"""Attacks on lookups of people: the attacker's directory, and the refusal's code."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.people.directory import (
    ANN,
    BOARD,
    FakeDirectory,
    Said,
    ber,
    bound,
    done,
    entry,
    group,
    message,
    people,
    person,
    result,
)

Attack = Callable[[FakeDirectory], None]
AWAY, UNKNOWN, DISABLED = "people_unavailable", "person_unknown", "person_disabled"
EVIL: Final = b"ldaps://evil.example/dc=site"


def _says(*answers: Callable[[int], bytes]) -> Attack:
    def set_up(directory: FakeDirectory) -> None:
        directory.said = lambda number, tag: [one(number) for one in answers]

    return set_up


def _bind_says(*answers: Callable[[int], bytes]) -> Attack:
    def set_up(directory: FakeDirectory) -> None:
        _says(*answers)(directory)
        directory.from_the_start = True

    return set_up


def _bytes(data: bytes) -> Callable[[int], bytes]:
    return lambda number: data


def _has(change: Callable[[dict[str, Any]], None]) -> Attack:
    def set_up(directory: FakeDirectory) -> None:
        directory.entries = people()
        change(directory.entries)

    return set_up


def _ann(**more: Any) -> Attack:
    return _has(lambda entries: entries.update({ANN: person("ann", **more)}))


def _one(**attributes: Any) -> Callable[[int], bytes]:
    return lambda number: entry(number, ANN, {**person("ann"), **attributes})


def _endless_pages(number: int, tag: int) -> list[bytes]:
    return [done(number, cookie=b"more")]


def _endless(number: int, tag: int) -> list[bytes]:
    return [entry(number, ANN, person("ann", displayName=["x" * 100_000]))] * 60


def _cut_off(number: int, tag: int) -> list[bytes]:
    """The person, a page of groups, and a refusal of the next one."""
    return [
        [entry(number, ANN, person("ann")), done(number)],
        [entry(number, BOARD, {}), done(number, cookie=b"1")],
        [done(number, 11)],
    ][min(number, 4) - 2]


def _cut_short(number: int, tag: int) -> list[bytes]:
    """The person, and a page of groups of which the last is half."""
    last = entry(number, BOARD, {})
    return [_cut_off(number, tag), [entry(number, BOARD, {}), last[:-1] + b"\x31"]][number > 2]


class _TwoStates(dict[str, Any]):
    """An open account that is closed, too."""

    def items(self) -> Any:
        return [*super().items(), ("UserAccountControl", ["514"])]


def _set(said: Said) -> Attack:
    def set_up(directory: FakeDirectory) -> None:
        directory.said = said

    return set_up


_REFERRAL: Final = ber(0xA3, ber(4, EVIL))

ATTACKS: Final[Mapping[str, tuple[Attack, str]]] = {
    # The bind.
    "wrong password": (_bind_says(lambda n: bound(n, 49)), AWAY),
    "bind refers to another host": (
        _bind_says(lambda n: message(n, ber(0x61, ber(10, b"\x0a"), ber(4), ber(4), _REFERRAL))),
        AWAY,
    ),
    "bind answered for another request": (_bind_says(lambda n: bound(n + 1)), AWAY),
    "bind answered as a search": (_bind_says(done), AWAY),
    "bind goes on (SASL)": (_bind_says(lambda n: bound(n, 14)), AWAY),
    "notice of disconnection": (
        _bind_says(lambda n: message(0, ber(0x78, ber(10, b"\x34"), ber(4), ber(4)))), AWAY,
    ),
    # Other hosts.
    "search refers to another host": (
        _says(lambda n: message(n, ber(0x65, ber(10, b"\x0a"), ber(4), ber(4), _REFERRAL))), AWAY,
    ),
    "references to other hosts alone": (
        _says(lambda n: message(n, ber(0x73, ber(4, EVIL))), done), UNKNOWN,
    ),
    # What is no LDAP, or too much of it.
    "HTTP": (_bind_says(_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")), AWAY),
    "zeros": (_bind_says(_bytes(bytes(64))), AWAY),
    "a length without an end": (_says(_bytes(b"\x30\x80\x02\x01\x02\0\0")), AWAY),
    "a length of 4 GiB": (_says(_bytes(b"\x30\x84\xff\xff\xff\xff")), AWAY),
    "a length of eight bytes": (_says(_bytes(b"\x30\x88" + bytes(8))), AWAY),
    "a message of 300 KB": (_says(_one(displayName=["x" * 300_000]), done), AWAY),
    "megabytes of entries": (_set(_endless), AWAY),
    "pages without an end": (_set(_endless_pages), AWAY),
    "an element longer than its own": (
        _says(lambda n: ber(0x30, ber(2, bytes([n])), b"\x64\x84\x00\x00\xff\xff")), AWAY,
    ),
    "a message without an operation": (_says(lambda n: ber(0x30, ber(2, bytes([n])))), AWAY),
    "an attribute without values": (
        _says(lambda n: message(n, ber(0x64, ber(4, b"cn=a"), ber(0x30, ber(0x30, ber(4, b"a")))))),
        AWAY,
    ),
    "a number of 9 bytes": (_says(lambda n: ber(0x30, ber(2, bytes(9)), ber(0x65))), AWAY),
    "a name that is no UTF-8": (_says(lambda n: entry(n, b"cn=\xff", {}), done), AWAY),
    "a name of 5,000 bytes": (_says(lambda n: entry(n, "cn=" + "x" * 5_000, {}), done), AWAY),
    "5,000 attributes": (
        _says(lambda n: entry(n, ANN, {f"a{k}": ["1"] for k in range(5_000)}), done), AWAY,
    ),
    "an answer in between": (_says(lambda n: message(n, ber(0x79))), AWAY),
    "busy": (_says(lambda n: done(n, 51)), AWAY),
    "more than it may list": (_says(lambda n: done(n, 4)), AWAY),
    "the end of a bind to a search": (_says(bound), AWAY),
    "groups cut off at the second page": (_set(_cut_off), AWAY),
    "groups that end in the middle of a page": (_set(_cut_short), AWAY),
    "an answer after its end": (
        _says(_one(), done, lambda n: entry(n, BOARD, {}), lambda n: done(n)), AWAY,
    ),
    "an attribute that is there twice": (
        _says(lambda n: entry(n, ANN, _TwoStates(person("ann"))), done), AWAY,
    ),
    "nothing": (_says(), AWAY),
    "half an answer": (_says(lambda n: result(n, 0x65)[:9]), AWAY),
    # Names.
    "two of the name": (
        _has(lambda entries: entries.update({"cn=Ann,ou=other,dc=site": person("ann")})), UNKNOWN,
    ),
    "nobody of the name": (_has(lambda entries: entries.pop(ANN)), UNKNOWN),
    "a name that looks alike": (_says(_one(userPrincipalName=["\u0430nn"]), done), UNKNOWN),
    "a name that a server takes for alike": (
        _says(_one(userPrincipalName=["\uff41nn"]), done), UNKNOWN,
    ),
    "a name with a blank more": (_says(_one(userPrincipalName=["ann "]), done), UNKNOWN),
    "somebody else": (_says(_one(userPrincipalName=["root"]), done), UNKNOWN),
    "somebody without a name": (_says(lambda n: entry(n, ANN, {}), done), UNKNOWN),
    # Accounts.
    "closed": (_ann(userAccountControl=["514"]), DISABLED),
    "does not tell if it is closed": (_ann(userAccountControl=[]), DISABLED),
    "expired": (_ann(accountExpires=["116444736000000001"]), DISABLED),
    "closed in words": (_ann(userAccountControl=["no"]), AWAY),
    # Groups.
    "10,000 groups": (
        _has(lambda e: e.update({f"cn=g{n},dc=site": group(ANN) for n in range(10_000)})), UNKNOWN,
    ),
}  # fmt: skip
"""With a person `ann` who is in `Board`, and through it in `All`."""

SILENT: Final = ("nothing", "half an answer")
"""Those that last until the lookup's time is over."""
NAMES: Final = (
    "*", "a*", "ann)(userPrincipalName=*", "ann)(|(userPrincipalName=*)", "*)(uid=*))(|(uid=*",
    "ann\\2a", "\\61nn", "ann\\00", "(ann)", "&ann", ANN, "ann,dc=site", "a" * 256,
)  # fmt: skip
"""Names that would be other persons, or everybody, in a filter made of text."""

LOOK_LIKE_BOARD: Final = (
    "cn=Board,ou=more,ou=groups,dc=site", "cn=Board\\,ou=groups,dc=site",
    "cn=B\u043eard,ou=groups,dc=site",
    "cn=Board ,ou=groups\\,dc=site", "cn=Board\\5C,ou=groups,dc=site", "ou=groups,dc=site",
    "cn=Board,ou=groups,dc=site,dc=evil",
)  # fmt: skip
"""Names of groups that are not the board."""
