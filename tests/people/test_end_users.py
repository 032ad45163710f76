"""People of an appliance: nothing switched off is imported, and no cache outlives a key."""

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.clock import FixedClock
from appliance.config import Config, PeopleConfig
from appliance.errors import ApplianceError, Unauthenticated
from appliance.peers.standing import part
from appliance.people import end_users
from appliance.people.end_users import EndUsers
from appliance.people.names import Aliases
from appliance.types import Limits, Principal
from tests.people.cards import Cards
from tests.people.directory import FakeDirectory
from tests.people.login import NOW, Login, b64

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256: with s, its difference to s signs as well."""
APP = Principal("k1", "app")


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path / "keys.json")


def people(config: Config, clock: FixedClock | None = None) -> EndUsers:
    return EndUsers(config, Path("/"), Aliases(lambda: b"s"), clock or FixedClock())


async def test_appliances_of_a_site_divide_a_persons_limits(login: Login) -> None:
    config = login.site(PeopleConfig(rpm=10, tpm=100))
    aliases, token = Aliases(lambda: b"s"), login.token()
    shares = []
    for place in range(3):
        share = partial(part, place=place, members=3)
        made = EndUsers(config, Path("/"), aliases, FixedClock(), share)
        shares.append(made.limited(APP, await made.verified(token, "k1")).person_limits)
    assert [(one.rpm, one.tpm) for one in shares] == [(4, 34), (3, 33), (3, 33)]


async def test_a_token_under_a_key_that_is_gone_is_forgotten(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = people(login.site())
    token = login.token()
    assert (await made.verified(token, "k1")).subject == "ann"
    steady = 1e9
    monkeypatch.setattr(made._logins[0].keys, "_steady", lambda: steady)
    login.publish(own=False)
    with pytest.raises(Unauthenticated, match="no such key"):
        await made.verified(token, "k1")


async def test_those_who_come_together_with_it_are_refused_alike(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, token = people(login.site()), login.token()
    await made.verified(token, "k1")
    steady = 1e9
    monkeypatch.setattr(made._logins[0].keys, "_steady", lambda: steady)
    login.publish(own=False)
    both = (made.verified(token, "k1") for _ in range(2))
    refused = await asyncio.gather(*both, return_exceptions=True)
    assert [getattr(one, "code", one) for one in refused] == ["person_token_invalid"] * 2


async def test_another_signature_of_the_same_claims_makes_no_other_token(login: Login) -> None:
    made, token = people(login.site()), login.token()
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    s = _ORDER - int.from_bytes(raw[32:])
    twin = f"{signed}.{b64(raw[:32] + s.to_bytes(32))}"
    await made.verified(token, "k1")

    async def code(brought: str, app: str) -> str:
        with pytest.raises(Unauthenticated) as refused:
            await made.verified(brought, app)
        return refused.value.code

    assert await code(twin, "k2") == await code(token, "k2") == "person_token_replayed"
    assert (await made.verified(twin, "k1")).subject == "ann"  # it is a good one
    for app in ("k1", "k2"):
        assert await code(f"{signed}.{b64(bytes(64))}", app) == "person_token_invalid"
    assert len(made._known) == 1


async def test_what_is_remembered_is_bounded(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_users, "MOST_KNOWN", 3)
    made = people(login.site())
    for number in range(6):
        await made.verified(login.token(jti=str(number)), "k1")
    assert len(made._known) == 3


async def test_rights_are_those_of_key_and_groups_both(login: Login) -> None:
    made = people(login.site())

    async def may(model: str, groups: list[str], *models: str) -> bool:
        person = await made.verified(login.token(groups=groups, jti=model + "".join(models)), "k1")
        app = Principal("k1", "app", frozenset(models))
        return made.limited(app, person).may_use(model)

    assert await may("triage", ["Radiology"])
    assert not await may("other", ["Radiology"])
    assert not await may("triage", ["Radiology"], "other")
    assert not await may("triage", [])
    assert await may("other", ["Radiology", "Board"])
    assert not await may("triage", ["Board"], "other")


async def test_without_models_in_groups_nothing_limits_a_person(login: Login) -> None:
    made = people(Config(oidc={"corp": login.config()}))
    person = await made.verified(login.token(), "k1")
    assert person.groups == frozenset() and made.limited(APP, person).may_use("anything")


async def test_two_login_services_keep_their_groups_apart(tmp_path: Path) -> None:
    one, two = Login(tmp_path / "one.json"), Login(tmp_path / "two.json")
    config = one.site()
    both = {**config.oidc, "guests": two.config(issuer="https://guests.example")}
    made = people(Config(oidc=both, groups=config.groups))
    guest = await made.verified(two.token(iss="https://guests.example"), "k1")
    assert (guest.source, guest.groups) == ("oidc:guests", frozenset())
    with pytest.raises(Unauthenticated):  # signed by the other service's key
        await made.verified(one.token(iss="https://guests.example"), "k1")


async def test_limits_and_cost_centre_of_a_person(login: Login) -> None:
    config = login.site(PeopleConfig(rpm=3, tpm=900))
    groups = {n: replace(one, cost_centre=n[0]) for n, one in config.groups.items()}
    made = people(replace(config, groups=groups))
    both = await made.verified(login.token(groups=["Board", "Radiology"]), "k1")
    assert both.cost_centre == "r" and both.fields()["end_user_cost_centre"] == "r"
    none = await made.verified(login.token(groups=[], jti="2"), "k1")
    assert "end_user_cost_centre" not in none.fields()
    assert made.limited(APP, both).accounts[1] == ("person|oidc:corp|ann", Limits(rpm=3, tpm=900))
    claim = made.claimed("ann")
    assert claim is not None and made.limited(APP, claim).accounts == (("k1", Limits()),)


async def test_a_source_that_is_away_is_told_until_it_is_back(login: Login, tmp_path: Path) -> None:
    cards, clock, now = Cards(tmp_path / "cards"), FixedClock(), [0.0]
    clock.now_us = NOW * 1_000_000
    card = cards.card(end=cards.now + timedelta(days=9)).public_bytes(Encoding.DER)
    async with FakeDirectory(tmp_path).running() as fake:
        config = replace(
            login.site(), ldap={"ad": fake.config()}, certificates={"card": cards.config()}
        )  # fmt: skip
        made = people(config, clock)
        for one in (made._card("card"), made._logins[0].keys, made._directory("ad")):
            one._steady = lambda: now[0]

        async def away() -> list[str]:
            now[0] += 1_000  # each is asked again
            for asked in (
                made.verified(login.token(jti=str(now)), "k1"), made.certified(card),
                made.looked_up("ann", "ad"),
            ):  # fmt: skip
                with contextlib.suppress(ApplianceError):
                    await asked
            return [name for name, _ in made.away()]

        assert list(made.away()) == [] == await away()
        fake.stop()
        login.file.unlink()
        clock.advance(86_400)  # the list has ended
        assert await away() == ["oidc:corp", "ldap:ad", "certificate:card"]
        await fake.start()
        login.publish()
        cards.revoke(issued=timedelta(days=1))
        assert await away() == []
        (cards.at / "crl").unlink()
        assert await away() == []  # the last one is good still


def test_a_claim_gives_and_takes_nothing(login: Login) -> None:
    made = people(login.site())
    claim = made.claimed("ann")
    assert claim is not None and not claim.verified and made.claimed("") is None
    limited = made.limited(APP, claim)
    assert limited.may_use("anything") and limited.known is None


async def test_ten_thousand_requests_with_failures_get_no_answer_for_nobody(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service comes and goes, and tokens end."""
    clock, now = FixedClock(), [0.0]
    made = people(login.site(), clock)
    made._logins[0].keys._steady = lambda: now[0]
    strict, passed, refused = Principal("k1", "app", for_people=True), 0, 0
    token, ends = "", 0
    for number in range(10_000):
        now[0] += 1
        clock.advance(1)
        second = clock.wall_us() // 1_000_000
        if number % 240 == 0:
            token, ends = login.token(iat=second, exp=second + 300), second + 300
        if number % 1_700 == 1_000:
            login.publish(own=False)
        if number % 1_700 == 1_400:
            login.publish()
        if number % 900 == 100:
            login.file.write_text("{")
        if number % 900 == 200:
            login.publish()
        sent = token if number % 7 else login.token(iat=second - 400, exp=second - 100)
        try:
            principal = made.limited(strict, await made.verified(sent, "k1"))
        except ApplianceError:
            principal = strict
        try:
            made.check(principal, "m")
        except ApplianceError as error:
            assert error.code == "person_required"
            refused += 1
        else:
            passed += 1
            assert number % 7 and second < ends and principal.known is not None
    assert passed > 2_000 and refused > 2_000


PROGRAM = """
import json, sys
import appliance.server.serve, appliance.api.app
from appliance.people.end_users import EndUsers
print(json.dumps(sorted(name for name in sys.modules if "joserfc" in name
      or name in ("appliance.people.tokens", "appliance.people.login_keys"))))
"""


@pytest.mark.executed
def test_what_is_not_switched_on_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert json.loads(done.stdout) == []
