"""Updates of a site's trust metadata, its ageing, and that both are recorded."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.audit.search import Query
from appliance.errors import PolicyRefused, Refused
from appliance.runtime import Services, initialise, open_services
from appliance.trust import trusted_file
from tests.site import MODEL, Site, approve, make_site
from tests.smol import SMALL, quiet
from tests.trust import policies
from tests.trust.simulator import ATTACKS, DAY, NOW, Attack, Offer, Simulator

ACTOR = "uid:4711"


@pytest.fixture(scope="module")
def origin() -> Simulator:
    return Simulator()


@pytest.fixture
def site(origin: Simulator, tmp_path: Path) -> Site:
    return make_site(tmp_path, origin.copy())


@pytest.fixture
def services(site: Site) -> Iterator[Services]:
    """A site with the approved artifact `MODEL`, which is not loaded."""
    with site.services() as opened:
        opened.lifecycle.import_model(ACTOR, site.artifact(site.data.parent / MODEL), None, quiet)
        approve(opened, MODEL, "Alice", "Bob")
        yield opened


def told(services: Services) -> list[dict[str, Any]]:
    """What the log says about trust metadata."""
    found = services.reader.search(Query(kind="admin", limit=1000)).entries
    return [dict(e.body) for e in found if str(e.body["action"]).startswith("trust_")]


async def update(services: Services, offer: Offer) -> Any:
    return await services.renewal.update(ACTOR, offer, serving=False)


def later(sim: Simulator, days: int) -> Simulator:
    for role in ("root", "targets", "snapshot", "timestamp"):
        sim.expires[role] = NOW + (days + 30) * DAY
    return sim


async def test_an_update_is_recorded_and_in_force(site: Site, services: Services) -> None:
    done = await update(services, site.sim.next())
    assert done.changed and done.models == ()
    assert (done.before["policy"], done.after["policy"]) == (7, 8)
    (entry,) = told(services)
    assert (entry["action"], entry["actor"], entry["code"]) == ("trust_update", ACTOR, "")
    assert (entry["before"]["timestamp"], entry["after"]["timestamp"]) == (5, 6)
    assert services.trust.trusted().versions["policy"] == 8  # type: ignore[union-attr]


async def test_the_same_again(site: Site, services: Services) -> None:
    offer = site.sim.next()
    await update(services, offer)
    assert not (await update(services, offer)).changed
    assert [entry["action"] for entry in told(services)] == ["trust_update", "trust_unchanged"]


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_changes_nothing_and_is_recorded_once(site: Site, attack: Attack) -> None:
    path = site.data / "trust" / "metadata.json"
    before = path.read_bytes()
    offer = attack.make(site.sim)
    with site.services() as services:
        size = services.reader.size
        with pytest.raises(PolicyRefused) as caught:
            await update(services, offer)
        assert caught.value.code == attack.code
        assert services.reader.size == size + 1
        (entry,) = told(services)
    assert (entry["action"], entry["code"], entry["actor"]) == (
        "trust_update_refused", attack.code, ACTOR,
    )  # fmt: skip
    assert path.read_bytes() == before
    assert [p.name for p in (site.data / "trust").iterdir()] == ["metadata.json"]


async def test_the_record_comes_before_the_file(
    site: Site, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        assert told(services)[-1]["action"] == "trust_update"
        raise OSError("the disk is full")

    monkeypatch.setattr(trusted_file, "save", failing)
    with pytest.raises(OSError, match="full"):
        await update(services, site.sim.next())
    assert services.trust.trusted().versions["policy"] == 7  # type: ignore[union-attr]


async def test_a_lab_takes_no_metadata(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        with pytest.raises(PolicyRefused) as caught:
            await update(services, Simulator().publish())
        assert caught.value.code == "trust_profile"
        assert told(services)[-1]["code"] == "trust_profile"


# what a new policy ends


def revoked(**what: list[str]) -> dict[str, list[str]]:
    return {"keys": [], "serials": [], "digests": [], "engines": [], **what}


async def ended(site: Site, services: Services) -> tuple[str, str | None]:
    """State and code of the model after the next publication."""
    (record,) = (await update(services, site.sim.next())).models
    return record.state, record.code


async def test_a_revoked_key(site: Site, services: Services) -> None:
    site.sim.policy["revoked"] = revoked(keys=[policies.hint(policies.PUBLISHER)])
    assert await ended(site, services) == ("revoked", "key_revoked")


async def test_a_revoked_digest(site: Site, services: Services) -> None:
    digest = services.lifecycle.record(MODEL).digest
    site.sim.policy["revoked"] = revoked(digests=[str(digest)])
    assert await ended(site, services) == ("revoked", "digest_revoked")


async def test_a_revoked_approver(site: Site, services: Services) -> None:
    site.sim.policy["revoked"] = revoked(keys=[policies.hint(policies.BOB)])
    assert await ended(site, services) == ("suspended", "not_approved")


async def test_a_model_that_is_not_listed_any_more(site: Site, services: Services) -> None:
    site.sim.policy["models"] = [{"id": "another"}]
    assert await ended(site, services) == ("suspended", "model_not_in_policy")


# age


async def test_expired_metadata_blocks_what_is_new(site: Site, services: Services) -> None:
    site.days(31)
    new = site.artifact(site.data.parent / "new")
    with pytest.raises(PolicyRefused) as caught:
        services.lifecycle.import_model(ACTOR, new, None, quiet)
    assert caught.value.code == "trust_expired"
    await services.lifecycle.suspend(ACTOR, MODEL, "a look")  # what makes safe is never blocked
    with pytest.raises(PolicyRefused) as caught:
        approve(services, MODEL, "Alice")
    assert caught.value.code == "trust_expired"
    codes = [e.body["code"] for e in services.reader.search(Query(kind="model", limit=100)).entries]
    assert codes.count("trust_expired") == 2
    await update(services, later(site.sim, 31).next())
    approve(services, MODEL, "Alice", "Bob")
    assert services.lifecycle.record(MODEL).state == "approved"


async def test_a_clock_that_is_behind(site: Site, services: Services) -> None:
    offer = site.sim.next()
    site.days(-1)
    for action in (
        lambda: services.lifecycle.import_model(
            ACTOR, site.artifact(site.data.parent / "new"), None, quiet
        ),
        lambda: approve(services, MODEL, "Alice"),
    ):
        with pytest.raises(PolicyRefused) as caught:
            action()
        assert caught.value.code == "clock_behind"
    with pytest.raises(PolicyRefused) as caught:
        await update(services, offer)
    assert caught.value.code == "clock_behind"
    assert told(services)[-1]["code"] == "clock_behind"
    site.days(1)
    assert (await update(services, offer)).changed


async def test_alarms_are_recorded_once_each(site: Site, services: Services) -> None:
    seen = []
    for days in (0, 1, 16, 1, 6, 1, 7, 300, 35, 16, 8):
        site.days(days)
        await services.renewal.look()
        await services.renewal.look()
        seen = [entry["code"] for entry in told(services) if entry["action"] == "trust_alarm"]
    assert seen == [
        "expires-30d", "expires-14d", "expires-7d", "expired", "stale-30d", "stale-14d",
        "stale-7d",
    ]  # fmt: skip


async def test_a_clock_that_is_behind_is_an_alarm(site: Site, services: Services) -> None:
    await services.renewal.look()
    site.days(-3)
    await services.renewal.look()
    await services.renewal.look()
    assert [e["code"] for e in told(services) if e["action"] == "trust_alarm"][1:] == ["clock"]


async def test_old_metadata_refuses_to_serve(site: Site, services: Services) -> None:
    site.days(30 + 365)
    with pytest.raises(Refused) as caught:
        await services.lifecycle.load(ACTOR, MODEL)
    assert caught.value.code == "trust_stale"
    assert services.lifecycle.record(MODEL).state == "approved"  # nothing was revoked by time


def test_the_floor_is_the_latest_entry_and_not_the_last(site: Site, services: Services) -> None:
    latest = services.reader.latest_us()
    site.days(-2)
    services.lifecycle.note(MODEL, "recheck_failed", PolicyRefused("trust_expired", "x"))
    assert services.reader.latest_us() == latest
    assert services.trust.freshness().clock_behind


async def test_metadata_that_was_changed_on_the_disk_serves_nothing_new(
    site: Site, services: Services
) -> None:
    path = site.data / "trust" / "metadata.json"
    path.write_text(path.read_text().replace("Example", "Exampel"))
    with pytest.raises(PolicyRefused) as caught:
        await services.lifecycle.load(ACTOR, MODEL)
    assert caught.value.code == "trust_hash"
    with pytest.raises(PolicyRefused):
        await services.sweep.run()
    assert services.store.record(MODEL).state == "approved"  # a broken file revokes nothing


def test_at_is_utc() -> None:
    assert NOW.tzinfo is datetime.UTC
