"""A revocation by `trust update` ends the running answer: real worker, stream and log.

The files' way from a stick: test_trust_story.py.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from appliance.errors import PolicyRefused, StateRefused
from tests.site import Site, fresh
from tests.system.live_site import CERTIFIED, CHAIN, KEYED, edges, error_of, lan, make, streamed
from tests.trust import policies
from tests.trust.simulator import DAY

ACTOR = "uid:4711"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("revocation")
    yield asyncio.run(make(root, narrow_path))
    shutil.rmtree(root)


@pytest.fixture
def site(origin: Site, tmp_path: Path) -> Iterator[Site]:
    shutil.copytree(origin.data, tmp_path / "data")
    yield Site(tmp_path / "data", fresh(origin.sim))
    shutil.rmtree(tmp_path / "data")


Revoked = dict[str, list[str]]


@dataclass(frozen=True)
class Case:
    model: str
    revoked: Callable[[Services], Revoked]
    state: str
    code: str


def serial(of: str) -> Revoked:
    return {"serials": [f"{getattr(CHAIN, of).certificate.serial_number:x}"]}


CASES = {
    "a key": Case(
        KEYED, lambda _: {"keys": [policies.hint(policies.PUBLISHER)]}, "revoked", "key_revoked"
    ),
    "the serial number of the signer": Case(
        CERTIFIED, lambda _: serial("leaf"), "revoked", "certificate_revoked"
    ),
    "the serial number of the issuer": Case(
        CERTIFIED, lambda _: serial("issuer"), "revoked", "certificate_revoked"
    ),
    "the engine's version": Case(
        KEYED,
        lambda s: {"engines": [f"llama-cpp-python={s.supervisor.engine_version}"]},
        "suspended",
        "engine_revoked",
    ),
    "the digest of the artifact": Case(
        KEYED,
        lambda s: {"digests": [str(s.store.inventory.record(KEYED).digest)]},
        "revoked",
        "digest_revoked",
    ),
    "an approver's key": Case(
        KEYED, lambda _: {"keys": [policies.hint(policies.BOB)]}, "suspended", "not_approved"
    ),
}


async def revoke(site: Site, services: Services, revoked: Revoked) -> list[str]:
    site.sim.policy["revoked"] = {
        "keys": [],
        "serials": [],
        "digests": [],
        "engines": [],
        **revoked,
    }
    done = await services.renewal.update(ACTOR, site.sim.next(), serving=True)
    return [record.id for record in done.models]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_is_revoked_ends_with_its_streams_and_the_log_says_why(
    site: Site, case: Case
) -> None:
    with site.services() as services:
        await services.pool.load(ACTOR, case.model)

        async def update() -> None:
            assert case.model in await revoke(site, services, case.revoked(services))
            # The update has its answer: nothing is left that serves the model.
            assert not services.lifecycle.is_loaded(case.model)
            assert services.supervisor.status() == []

        async with lan(services) as client:
            events = await streamed(client, services, case.model, update)
            assert error_of(events) == "worker_lost"
            listed = (await client.get("/v1/models")).json()["data"]
            assert case.model not in {model["id"] for model in listed}
        record = services.store.inventory.record(case.model)
        assert (record.state, record.code) == (case.state, case.code)
        (ended,) = [e for e in edges(services, case.model) if e["state"] == case.state]
        assert (ended["before"], ended["code"], ended["actor"]) == (
            "serving", case.code, "appliance",
        )  # fmt: skip
        assert ended["policy"] == site.sim.policy["version"] and ended["reason"]
        (outcome,) = services.reader.search(Query(kind="outcome")).entries
        assert (outcome.body["status"], outcome.body["finish"]) == ("error", "worker_lost")
        with pytest.raises(StateRefused) as caught:
            await services.pool.load(ACTOR, case.model)
        assert caught.value.code == "wrong_state"


async def test_what_is_not_meant_goes_on(site: Site) -> None:
    """The control: an update that revokes other keys, serials, engines and digests ends nothing."""
    others = {
        "keys": [policies.hint(policies.ROOT)], "serials": ["abc"], "digests": ["ab" * 32],
        "engines": ["llama-cpp-python<0.1"],
    }  # fmt: skip
    with site.services() as services:
        await services.pool.load(ACTOR, CERTIFIED)

        async def update() -> None:
            assert await revoke(site, services, others) == []

        async with lan(services) as client:
            assert error_of(await streamed(client, services, CERTIFIED, update, 100)) == ""
        assert services.lifecycle.record(CERTIFIED).state == "serving"
        await services.supervisor.close()


async def test_a_revoked_engine_loads_nothing(site: Site) -> None:
    with site.services() as services:
        engine = f"llama-cpp-python<={services.supervisor.engine_version}"
        assert await revoke(site, services, {"engines": [engine]}) == []  # nothing is served
        with pytest.raises(PolicyRefused) as caught:
            await services.pool.load(ACTOR, KEYED)
        assert caught.value.code == "engine_revoked"
        assert edges(services, KEYED)[-1]["code"] == "engine_revoked"
        assert (
            services.store.inventory.record(KEYED).state == "approved"
        )  # a newer engine may serve it


async def test_an_expired_certificate_ends_nothing_and_hides_no_revocation(site: Site) -> None:
    with site.services() as services:
        await services.pool.load(ACTOR, CERTIFIED)
        site.days(380)  # past the certificates' end
        await services.sweep.run()
        assert services.lifecycle.record(CERTIFIED).state == "serving"
        for role in site.sim.expires:
            site.sim.expires[role] += 380 * DAY
        site.sim.sign_root()
        assert await revoke(site, services, serial("leaf")) == [CERTIFIED]
        record = services.store.inventory.record(CERTIFIED)
        assert (record.state, record.code) == ("revoked", "certificate_revoked")
        await services.supervisor.close()
