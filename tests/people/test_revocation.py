"""Each cell of the table of docs/people.md: how soon each source's removed person is refused."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.clock import FixedClock
from appliance.config import Config
from appliance.errors import ApplianceError, Forbidden
from appliance.people import directories
from appliance.people.end_users import EndUsers
from appliance.people.names import Aliases
from appliance.types import EndUser, Principal
from tests.conftest import CHECKOUT
from tests.people.cards import Cards
from tests.people.directory import ANN, BOARD, FakeDirectory, Said, bound, done, group, person
from tests.people.login import GROUPS, NOW, Login


@dataclass
class Site:
    """A site with all sources, whose clocks a test moves."""

    fake: FakeDirectory
    login: Login
    cards: Cards
    config: Config
    clock: FixedClock

    now = 0.0

    def __post_init__(self) -> None:
        self.card = self.cards.card()
        self.start()

    def start(self) -> None:
        """A server that knows nobody yet."""
        self.people = EndUsers(self.config, Path("/"), Aliases(lambda: b"s"), self.clock)
        for one in (
            *map(self.people._directory, self.config.ldap),
            *map(self.people._card, self.config.certificates),
            *(login.keys for login in self.people._logins),
        ):
            one._steady = lambda: self.now  # type: ignore[attr-defined]

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.clock.advance(seconds)

    def token(self, issuer: str, life: int = 600) -> str:
        second = self.clock.wall_us() // 1_000_000
        return self.login.token(None, life, iss=issuer, iat=second, exp=second + life)

    async def who(self, token: str) -> EndUser | str:
        """The person, or the code of the refusal."""
        try:
            return await self.people.verified(token, "k1")
        except ApplianceError as error:
            return error.code

    async def shown(self) -> EndUser | str:
        try:
            found = await self.people.certified(self.card.public_bytes(Encoding.DER))
        except ApplianceError as error:
            return error.code
        return found or "nobody"

    async def ends(
        self, ask: Callable[[], Awaitable[EndUser | str]], after: float, code: str
    ) -> None:
        """Answered until a second before, and refused from then on."""
        self.later(after - 1)
        assert isinstance(await ask(), EndUser)
        self.later(1)
        assert await ask() == code


ALONE, LOOKED_UP = "https://alone.example", "https://login.example"


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(directories, "SECONDS", 60)  # however busy the machine is
    clock = FixedClock()
    clock.now_us = NOW * 1_000_000
    login, cards = Login(tmp_path / "keys.json"), Cards(tmp_path / "cards")
    async with FakeDirectory(tmp_path).running() as fake:
        board = replace(GROUPS["board"], names=("corp/Radiology", f"ad/{BOARD}"))
        config = Config(
            oidc={
                "corp": login.config(issuer=ALONE),
                "both": login.config(issuer=LOOKED_UP, directory="ad"),
            },
            ldap={"ad": fake.config()},
            certificates={"card": cards.config(directory="ad")},
            groups={"board": board},
        )
        yield Site(fake, login, cards, config, clock)


def away(fake: FakeDirectory) -> None:
    fake.said, fake.from_the_start = lambda number, tag: [b"no"], True


async def login_person(site: Site) -> None:
    token = site.token(ALONE)
    assert isinstance(await site.who(token), EndUser)
    await site.ends(lambda: site.who(token), 600, "person_token_expired")


async def login_person_away(site: Site) -> None:
    token = site.token(ALONE)
    assert isinstance(await site.who(token), EndUser)
    site.login.file.unlink()
    await site.ends(lambda: site.who(token), 600, "person_token_expired")
    site.login.publish()


async def login_key(site: Site) -> None:
    token = site.token(ALONE)
    assert isinstance(await site.who(token), EndUser)
    site.login.publish(own=False)
    await site.ends(lambda: site.who(token), 60, "person_token_invalid")


async def login_key_away(site: Site) -> None:
    assert isinstance(await site.who(site.token(ALONE)), EndUser)
    site.login.file.unlink()
    await site.ends(lambda: site.who(site.token(ALONE)), 901, "people_unavailable")


async def account(site: Site) -> None:
    token = site.token(LOOKED_UP)
    known = await site.who(token)
    assert isinstance(known, EndUser) and known.groups == {"board"}
    assert (known.source, known.groups_from) == ("oidc:both", "ldap:ad")
    assert known.until_us == (NOW + 60) * 1_000_000
    site.fake.entries[ANN] = person("ann", userAccountControl=["514"])
    await site.ends(lambda: site.who(token), 60, "person_disabled")
    del site.fake.entries[ANN]
    site.later(60)
    assert await site.who(token) == "person_unknown"


async def account_away(site: Site) -> None:
    assert isinstance(await site.who(site.token(LOOKED_UP)), EndUser)
    away(site.fake)
    site.later(61)
    bea = site.login.token(None, 600, iss=LOOKED_UP, sub="bea", iat=NOW + 61, exp=NOW + 661)
    assert await site.who(bea) == "people_unavailable"  # was not known: at once
    await site.ends(lambda: site.who(site.token(LOOKED_UP)), 900 - 61, "people_unavailable")


async def membership(site: Site) -> None:
    token = site.token(LOOKED_UP)
    assert isinstance(await site.who(token), EndUser)
    site.fake.entries[BOARD] = group()
    site.later(59)
    known = await site.who(token)
    assert isinstance(known, EndUser) and known.groups == {"board"}
    site.later(1)
    known = await site.who(token)
    assert isinstance(known, EndUser) and known.groups == frozenset()


async def membership_away(site: Site) -> None:
    assert isinstance(await site.who(site.token(LOOKED_UP)), EndUser)
    site.fake.entries[BOARD] = group()
    away(site.fake)
    site.later(899)
    known = await site.who(site.token(LOOKED_UP))
    assert isinstance(known, EndUser) and known.groups == {"board"}  # the last known rights
    assert known.until_us == site.clock.wall_us() + 1_000_000
    site.later(1)
    assert await site.who(site.token(LOOKED_UP)) == "people_unavailable"


async def certificate(site: Site) -> None:
    known = await site.shown()
    assert isinstance(known, EndUser)
    assert (known.source, known.groups_from) == ("certificate:card", "ldap:ad")
    site.cards.revoke(site.card.serial_number)
    await site.ends(site.shown, 4, "person_certificate_revoked")


async def certificate_away(site: Site) -> None:
    site.card = site.cards.card(end=site.cards.now + timedelta(days=2))
    assert isinstance(await site.shown(), EndUser)
    (site.cards.at / "crl").unlink()
    await site.ends(site.shown, 86_400 + 900, "people_unavailable")


async def configured(site: Site) -> None:
    token = site.token(LOOKED_UP)
    assert isinstance(await site.who(token), EndUser)
    site.config = replace(site.config, oidc={"corp": site.config.oidc["corp"]}, certificates={})
    assert isinstance(await site.who(token), EndUser)
    site.start()
    assert await site.who(token) == "person_token_foreign"
    assert await site.shown() == "nobody"


FAILURES: Final[tuple[Said, ...]] = (
    lambda number, tag: [b"no"],
    lambda number, tag: [bound(number, 51)],
    lambda number, tag: [bound(number) if tag == 0x60 else done(number, 52)],
    lambda number, tag: [bytes(64)],
)


async def test_ten_thousand_requests_with_failures_of_the_directory(site: Site) -> None:
    """An accepted person had rights at the last answer, or within the grace of an outage."""
    strict, passed, refused = Principal("k1", "app", for_people=True), 0, Counter[str]()
    open_until = up_since = closed_since = 0.0
    there, token = site.fake.entries[ANN], ""
    for number in range(10_000):
        site.later(1)
        if number % 240 == 0:
            token = site.token(LOOKED_UP)
        if number % 500 == 100:
            site.fake.entries[ANN], closed_since = person("ann", userAccountControl=["2"]), site.now
        if number % 500 == 250:
            site.fake.entries[ANN] = there
        if number % 3_000 in (300, 1_400):  # for 100 seconds, and for longer than the grace
            site.fake.said = FAILURES[number // 300 % len(FAILURES)]
            site.fake.from_the_start = True
        if number % 3_000 in (400, 2_600):
            site.fake.said, up_since = None, site.now
        is_open, is_up = site.fake.entries[ANN] is there, site.fake.said is None
        open_until = site.now if is_open else open_until
        known = await site.who(token if number % 7 else site.token(LOOKED_UP, 0))
        try:
            asks = site.people.limited(strict, known) if isinstance(known, EndUser) else strict
            site.people.check(asks, "m")
        except Forbidden as error:
            assert error.code == "person_required"
            refused[str(known)] += 1
            continue
        passed += 1
        assert number % 7 and site.now - open_until < 900
        if is_up and site.now - up_since > 70:
            assert is_open or site.now - closed_since < 60
    assert passed > 4_000
    assert min(refused[code] for code in ("person_disabled", "people_unavailable")) > 200


CELLS: Final = {
    "a person or group, at the login service": (login_person, login_person_away),
    "a key of the login service": (login_key, login_key_away),
    "a person, or a closed account, in the directory": (account, account_away),
    "a person's group, in the directory": (membership, membership_away),
    "a certificate, in its CA's list": (certificate, certificate_away),
    "a source, a group, `required`, in `appliance.toml`": (configured, configured),
}
"""Rows of the table; an API key has its test in tests/auth/test_keys.py."""


@pytest.mark.parametrize("column", [0, 1], ids=["normally", "away"])
@pytest.mark.parametrize("row", CELLS)
async def test_a_cell(site: Site, row: str, column: int) -> None:
    await CELLS[row][column](site)


def test_the_table_has_these_rows() -> None:
    page = (CHECKOUT / "docs" / "people.md").read_text()
    rows = re.findall(r"(?m)^\| ([a-z].*?) \|", page.partition("## Time until")[2])
    assert rows == [*CELLS, "an API key"]
