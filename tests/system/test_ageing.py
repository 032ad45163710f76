"""Metadata that grows too old under a model that is being served; the clock is moved by hand."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from tests.site import Site, fresh
from tests.smol import until
from tests.system.live_site import KEYED, edges, error_of, lan, make, streamed
from tests.trust.simulator import DAY

ACTOR = "uid:4711"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, shallow_path: Path) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("ageing")
    yield asyncio.run(make(root, shallow_path))
    shutil.rmtree(root)


@pytest.fixture
async def site(origin: Site, tmp_path: Path) -> AsyncIterator[Site]:
    """The metadata expires 30 days after now, and models are served for 60 more."""
    shutil.copytree(origin.data, tmp_path / "data")
    made = Site(tmp_path / "data", fresh(origin.sim))
    made.sim.policy["stale"] = {"refuse_serve_days": 60}
    with made.services() as services:
        await services.renewal.update(ACTOR, made.sim.next(), serving=False)
    yield made
    shutil.rmtree(tmp_path / "data")


def alarms(services: Services) -> list[str]:
    found = services.reader.search(Query(kind="admin", limit=1000)).entries
    return [str(e.body["code"]) for e in found if e.body["action"] == "trust_alarm"]


def renew(site: Site, days: int) -> dict[str, bytes]:
    for role in site.sim.expires:
        site.sim.expires[role] += days * DAY
    site.sim.sign_root()
    return site.sim.next()


async def test_warned_served_unloaded_and_loaded_again(site: Site) -> None:
    with site.services() as services:
        await services.pool.load(ACTOR, KEYED)
        for days in (0, 17, 7, 7, 0, 29, 17, 8):  # 85 days: expired at 30, stale at 90
            site.days(days)
            await services.renewal.look()
            assert services.lifecycle.record(KEYED).state == "serving"
        assert alarms(services) == [
            "expires-30d", "expires-14d", "expires-7d", "expired", "stale-30d", "stale-14d",
            "stale-7d",
        ]  # fmt: skip
        async with lan(services) as client:

            async def too_old() -> None:
                site.days(6)
                await services.renewal.look()
                assert services.supervisor.status() == []

            events = await streamed(client, services, KEYED, too_old)
            assert error_of(events) == "worker_lost"
            assert alarms(services)[-1] == "stale"
            noted = [e for e in edges(services, KEYED) if e["event"] in {"stale", "unload"}]
            assert [(e["event"], e["code"]) for e in noted] == [
                ("stale", "trust_stale"), ("unload", ""),
            ]  # fmt: skip
            assert noted[1]["reason"] == noted[0]["reason"] != ""
            assert services.pool.model(KEYED).unloaded == noted[1]["reason"]
            # Unloaded, not suspended: time revokes nothing. But no request loads it either.
            assert services.store.inventory.record(KEYED).state == "approved"
            asked = {"model": KEYED, "prompt": "Hi", "max_tokens": 1}
            assert (await client.post("/v1/completions", json=asked)).status_code == 503
            assert edges(services, KEYED)[-1]["code"] == "trust_stale"

            done = await services.renewal.update(ACTOR, renew(site, 120), serving=True)
            assert done.changed and services.lifecycle.is_loaded(KEYED)
            (staged,) = [e for e in edges(services, KEYED)[-3:] if e["state"] == "staged"]
            assert staged["reason"] == "after a trust update"
            assert services.pool.model(KEYED).unloaded == ""
            assert (await client.post("/v1/completions", json=asked)).status_code == 200
        await services.pool.unload(ACTOR, KEYED)
        await services.renewal.update(ACTOR, site.sim.next(), serving=True)
        assert not services.lifecycle.is_loaded(KEYED)  # a person unloaded it this time


async def test_a_worker_that_dies_under_metadata_that_is_too_old_is_not_started_again(
    site: Site,
) -> None:
    with site.services() as services:
        await services.pool.load(ACTOR, KEYED)
        site.days(85)
        (status,) = services.supervisor.status()
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        await until(lambda: services.supervisor.status()[0].restarts == 1)  # the control
        site.days(6)
        (status,) = services.supervisor.status()
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        await until(lambda: services.supervisor.status()[0].state == "suspended")
        found = services.reader.search(Query(kind="worker", limit=1000)).entries
        assert "served until" in str(found[-1].body["reason"])
        await services.supervisor.close()
