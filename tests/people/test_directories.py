"""Lookups in a directory: rights, nested groups, attacks, and outages."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.auth.certificates import issue
from appliance.clock import FixedClock, SystemClock
from appliance.config import LdapConfig
from appliance.errors import ApplianceError
from appliance.people import directories
from appliance.people.directories import DEEPEST, HOLDS_S, DirectoryPerson, PeopleDirectory
from appliance.people.ldap_messages import folded
from tests.people.directory import (
    ALL,
    ANN,
    BEA,
    BOARD,
    OPEN,
    STAFF,
    FakeDirectory,
    group,
    people,
    person,
)
from tests.people.directory_attacks import ATTACKS, LOOK_LIKE_BOARD, NAMES, SILENT


class Steady:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FakeDirectory]:
    async with FakeDirectory(tmp_path_factory.mktemp("directory")).running() as made:
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def fake(running: FakeDirectory, monkeypatch: pytest.MonkeyPatch) -> FakeDirectory:
    monkeypatch.setattr(directories, "SECONDS", 60)  # however busy the machine is
    running.entries, running.said, running.from_the_start = people(), None, False
    running.searches, running.binds, running.asked, running.page = [], 0, 0, 3
    return running


def made(config: LdapConfig, steady: Steady | None = None) -> PeopleDirectory:
    return PeopleDirectory("ad", config, Path("/"), FixedClock(), steady or Steady())


async def found(directory: PeopleDirectory, subject: str = "ann") -> DirectoryPerson:
    return (await directory.find(subject))[0]


async def refusal(directory: PeopleDirectory, subject: str = "ann") -> str:
    with pytest.raises(ApplianceError) as refused:
        await directory.find(subject)
    return refused.value.code


@pytest.mark.parametrize("name", ATTACKS)
async def test_attacks(fake: FakeDirectory, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in SILENT:
        monkeypatch.setattr(directories, "SECONDS", 0.3)
    if name == "10,000 groups":
        fake.page = 200
    attack, code = ATTACKS[name]
    attack(fake)
    assert await refusal(made(fake.config())) == code
    assert fake.asked <= 20  # eleven pages of groups


async def test_there_are_forty_attacks_and_without_one_a_person_is_found(
    fake: FakeDirectory,
) -> None:
    assert len(ATTACKS) >= 40
    ann = await found(made(fake.config()))
    assert (ann.name, ann.groups) == ("Ann", frozenset(map(folded, (BOARD, ALL))))


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_a_value_and_no_filter(fake: FakeDirectory, name: str) -> None:
    assert await refusal(made(fake.config()), name) == "person_unknown"
    assert fake.searches == [b"person", name.encode()]


async def test_a_distinguished_name_is_a_value_and_no_filter(fake: FakeDirectory) -> None:
    for kind, name in (("ad", "userPrincipalName"), ("openldap", "uid")):
        for dn in ("*", "cn=*", "cn=Ann)(member=*", "cn=*))(|(cn=*", "cn=Ann\\2a", "cn=Ann\0"):
            fake.entries = {**people(), dn: person("eve", uid=["eve"]), BOARD: group(ANN, BEA)}
            directory = made(fake.config(kind=kind, person=name))
            assert (await found(directory, "eve")).groups == frozenset()
            fake.entries[BOARD] = group(dn)  # the control
            assert (
                folded(BOARD)
                in (await found(made(fake.config(kind=kind, person=name)), "eve")).groups
            )


async def test_a_group_that_looks_alike_is_another(fake: FakeDirectory) -> None:
    fake.entries = {ANN: person("ann"), **{name: group(ANN) for name in LOOK_LIKE_BOARD}}
    ann = await found(made(fake.config()))
    assert len(ann.groups) == len(LOOK_LIKE_BOARD) and folded(BOARD) not in ann.groups
    fake.entries["CN=board, OU=Groups ,dc=Site"] = group(ANN)  # the control
    assert folded(BOARD) in (await found(made(fake.config()))).groups


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({}, ""),
        ({"pwdAccountLockedTime": ["20260101000000Z"]}, ""),  # wrong passwords: for some minutes
        ({"pwdAccountLockedTime": ["000001010000Z"]}, "person_disabled"),
        ({"shadowExpire": ["-1"]}, ""),
        ({"shadowExpire": ["1"]}, "person_disabled"),
        ({"nsAccountLock": ["TRUE"]}, "person_disabled"),
        ({"shadowExpire": ["never"]}, "people_unavailable"),
    ],
)
async def test_openldap_walks_upwards_and_knows_closed_accounts(
    fake: FakeDirectory, state: dict[str, list[str]], code: str
) -> None:
    fake.entries = {ANN: {**OPEN, **state}, BOARD: group(ANN), ALL: group(BOARD, STAFF),
                    STAFF: group(BEA, ALL)}  # fmt: skip
    directory = made(fake.config(kind="openldap", person="uid"))
    if code:
        assert await refusal(directory) == code
        return
    ann = await found(directory)  # All and Staff are in each other
    assert ann.groups == frozenset(map(folded, (BOARD, ALL, STAFF)))


async def test_the_walk_is_bounded_in_depth_and_in_number(fake: FakeDirectory) -> None:
    chain = [f"cn=g{n},dc=site" for n in range(DEEPEST + 3)]
    fake.entries = {ANN: dict(OPEN), **{
        name: group(below) for name, below in zip(chain, [ANN, *chain], strict=False)
    }}  # fmt: skip
    directory = made(fake.config(kind="openldap", person="uid"))
    assert (await found(directory)).groups == frozenset(chain[:DEEPEST])
    wide = {f"cn=w{n},dc=site": group(ANN) for n in range(2_001)}
    fake.entries, fake.page = {ANN: dict(OPEN), **wide}, 500
    assert await refusal(made(fake.config(kind="openldap", person="uid"))) == "person_unknown"


async def test_the_account_of_no_name_or_no_password_asks_nothing(fake: FakeDirectory) -> None:
    config = fake.config()
    Path(config.password).write_text("\n")
    assert await refusal(made(config)) == "people_unavailable"
    Path(config.password).unlink()
    assert await refusal(made(config)) == "people_unavailable"
    assert fake.binds == 0


async def test_no_other_certificate_is_taken(fake: FakeDirectory, tmp_path: Path) -> None:
    issue(tmp_path / "tls", ["localhost"], SystemClock())
    assert await refusal(made(fake.config(ca=str(tmp_path / "tls" / "ca.pem")))) == (
        "people_unavailable"
    )
    other = FakeDirectory(tmp_path)
    async with other.running(tls=False):
        assert await refusal(made(other.config())) == "people_unavailable"
    there = fake.url.replace("localhost", "127.0.0.1")  # a name that it has no certificate for
    assert await refusal(made(fake.config(urls=(there,)))) == "people_unavailable"
    assert fake.binds == other.binds == 0


async def test_the_next_host_is_asked_and_stays_the_first(fake: FakeDirectory) -> None:
    directory = made(fake.config(urls=("ldaps://localhost:9", fake.url)))
    assert (await found(directory)).name == "Ann"
    assert directory._urls == [fake.url, "ldaps://localhost:9"]


async def test_those_who_come_together_wait_for_one_answer(fake: FakeDirectory) -> None:
    directory = made(fake.config())
    await asyncio.gather(*(directory.find("ann") for _ in range(20)))
    assert fake.binds == 1
    await directory.find("ann")
    assert fake.binds == 1  # it is known for a minute
    await asyncio.gather(*(directory.find(name) for name in ("bea", "ANN")))
    assert fake.binds == 3


async def test_who_is_unknown_does_not_wait_for_a_directory_that_was_away_a_moment_ago(
    fake: FakeDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = Steady()
    directory = made(fake.config(), steady)
    fake.said, fake.from_the_start = lambda number, tag: (), True
    with monkeypatch.context() as short:
        short.setattr(directories, "SECONDS", 0.3)
        assert await refusal(directory) == "people_unavailable"
    fake.said = None
    assert await refusal(directory, "bea") == "people_unavailable" and fake.binds == 0
    steady.now += 11
    assert (await found(directory, "bea")).name == "Bea"


async def test_an_answer_about_one_person_harms_no_other(fake: FakeDirectory) -> None:
    directory = made(fake.config())
    fake.entries[ANN] = person("ann", displayName=["x" * 300_000])
    assert await refusal(directory) == "people_unavailable"
    assert (await found(directory, "bea")).name == "Bea"


async def test_a_person_is_known_until_the_directory_or_the_grace_ends_it(
    fake: FakeDirectory,
) -> None:
    steady = Steady()
    directory = made(fake.config(grace_minutes=2), steady)
    assert (await directory.find("ann"))[1] == HOLDS_S
    fake.entries[ANN] = person("ann", userAccountControl=["514"])
    steady.now += 59
    assert (await directory.find("ann"))[1] == 1
    steady.now += 1
    assert await refusal(directory) == "person_disabled"
    fake.entries[ANN] = person("ann")
    steady.now += 60
    assert (await found(directory)).refused is None
    fake.said, fake.from_the_start = lambda number, tag: [b"no"], True
    steady.now += 119
    assert (await directory.find("ann"))[1] == 1
    assert await refusal(directory, "bea") == "people_unavailable"
    steady.now += 1
    assert await refusal(directory) == "people_unavailable"


async def test_who_is_remembered_is_bounded(
    fake: FakeDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "MOST_KNOWN", 2)
    directory = made(replace(fake.config(), grace_minutes=1))
    for name in ("ann", "bea", "nobody"):
        try:
            await directory.find(name)
        except ApplianceError as error:
            assert error.code == "person_unknown"
    assert list(directory._known) == ["bea", "nobody"] and not directory._running


PROGRAM = """
import json, sys
import appliance.server.serve, appliance.api.app
print(json.dumps(sorted(name for name in sys.modules if name.startswith("appliance.people"))))
"""


@pytest.mark.executed
async def test_what_is_not_switched_on_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert json.loads(done.stdout) == [
        "appliance.people", "appliance.people.end_users", "appliance.people.names",
    ]  # fmt: skip
