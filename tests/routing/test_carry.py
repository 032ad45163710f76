"""An engine that does as before takes the certificate of a route over; another one ends it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, open_services
from appliance.errors import ApplianceError
from appliance.evals import asking
from appliance.evals.outcomes import Outcome
from appliance.looks import replay
from appliance.server import serve
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import evidence
from appliance.trust.policy import lab
from appliance.trust.statements import route as statements
from tests.routing.world import GROUPS, ROUTE_ID, SURE, Certified, answer, app, entries, terms
from tests.smol import SMALL

pytestmark = pytest.mark.xdist_group("routes")

FLIPPED = "dev-orders-data003"
OLD, NOW = "llama-cpp-python 0.2.1 build old", "llama-cpp-python 0.3.99 build new"


@pytest.fixture
async def upgraded(certified: Certified, tmp_path: Path) -> AsyncIterator[Services]:
    """The certificate is for one engine, and another one serves."""
    with open_services(certified.copy(tmp_path), config=SMALL) as services:
        kept, policy = services.routes.certificates, load_policy(services.data / "trust")
        (found,) = kept.of(terms(services).route_digest, policy)
        with kept._database.begin() as connection:
            rows = connection.exec_driver_sql("SELECT envelope FROM route_certificates")
            envelope = bytes(rows.scalar_one())
        key = evidence.ensure(services.data, lab.MARK)
        now = services.clock.wall_us()
        kept.add(statements.carry(envelope, found, OLD, {}, now, key), policy)
        services.store.evaluations.engine_of = kept._engine = lambda: NOW
        yield services
        await services.inference.drain(30)


async def stage(services: Services) -> tuple[str, str]:
    """Which stage answers what the first one is sure of, and why the first did not."""
    piece = await answer(services, app(), SURE)
    assert piece.about is not None and piece.about.routed is not None
    return piece.about.routed.stage, (await services.routes.standing(ROUTE_ID)).why


async def carry(services: Services, route: str = ROUTE_ID) -> dict[str, Any]:
    return (
        await (await services.jobs.start("route-carry", {"route": route}, "uid:0")).outcome()
    ).document


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(ApplianceError) as caught:
        yield
    assert caught.value.code == code


async def test_what_does_the_same_is_carried_over_and_watched_as_before(
    upgraded: Services, certified: Certified
) -> None:
    assert await stage(upgraded) == ("large", "route_certificate_other")
    policy = load_policy(upgraded.data / "trust")
    assert upgraded.routes.of_other_engine(policy) == [ROUTE_ID]
    result = await carry(upgraded)
    assert (result["flips"], result["items"], result["engine"]) == ([], GROUPS, NOW)
    accepted = result["groups"]
    assert accepted < GROUPS and result["change"] < 0.1 - certified.result["limit"]
    assert result["change"] == pytest.approx(1 - 0.05 ** (1 / accepted), abs=1e-6)
    assert await stage(upgraded) == ("small", "")
    standing = await upgraded.routes.standing(ROUTE_ID)
    assert standing.certificate is not None
    assert standing.certificate.id == result["certificate"]
    assert standing.certificate.origin == certified.result["certificate"]
    assert standing.certificate.circumstances.engine == NOW
    same = standing.certificate.circumstances.unflipped
    assert same == {"": GROUPS, statements.ACCEPTED: accepted}
    assert upgraded.routes.of_other_engine(policy) == []
    (told,) = entries(upgraded, action="route_carried")
    assert (told["certificate"], told["flips"]) == (result["certificate"], 0)
    assert len(entries(upgraded, action="route_look")) == 1  # that of the calibration
    # Evidence against what was carried over is evidence against what it came from.
    upgraded.routes.suspend(standing.certificate.origin, "the monitor says so")
    assert await stage(upgraded) == ("large", "route_suspended")
    with refused("route_suspended"):
        await carry(upgraded)


async def test_what_does_otherwise_is_out_of_use_with_the_items(
    upgraded: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replay.digest

    def other(outcome: Outcome) -> str:
        return "00" * 32 if outcome.item == FLIPPED else real(outcome)

    monkeypatch.setattr(replay, "digest", other)
    result = await carry(upgraded)
    assert (result["flips"], result["certificate"]) == ([FLIPPED], None)
    assert await stage(upgraded) == ("large", "route_suspended")
    (told,) = entries(upgraded, action="route_suspended")
    assert FLIPPED in str(told["reason"])


async def test_too_few_open_groups_carry_nothing_over(
    upgraded: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They bound a change at more than the certificate leaves, which stays as it is."""
    monkeypatch.setattr(statements, "rooms", lambda wanted, found: {statements.ACCEPTED: 10_000})
    with refused("route_change_unbounded"):
        await carry(upgraded)
    assert await stage(upgraded) == ("large", "route_certificate_other")
    assert entries(upgraded, action="route_suspended") == []
    assert entries(upgraded, action="route_carried") == []


async def test_what_we_could_not_ask_takes_no_certificate_away(
    upgraded: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*more: Any) -> asking.CandidateReply:
        return asking.CandidateReply(None, "worker_lost", 0.0)

    with monkeypatch.context() as patched, refused("gate_interrupted"):
        patched.setattr(asking, "asked", lost)
        patched.setattr(asking, "_RETRY_S", 0.0)
        await carry(upgraded)
    assert entries(upgraded, action="route_suspended") == []
    assert (await carry(upgraded))["flips"] == []


async def test_what_cannot_be_repeated_is_not_carried_over(upgraded: Services) -> None:
    with refused("artifact_kind"):
        await carry(upgraded, "orders-small")
    kept = upgraded.routes.certificates
    with kept._database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM route_replays")
    with refused("route_no_replay"):
        await carry(upgraded)
    assert await stage(upgraded) == ("large", "route_certificate_other")


async def test_a_server_that_starts_carries_over_by_itself(upgraded: Services) -> None:
    await serve._carry(upgraded)
    live = upgraded.jobs.live((await upgraded.jobs.newest(1))[0].job.id)
    assert live is not None
    assert (live.job.kind, live.job.title, live.job.actor) == (
        "route-carry", ROUTE_ID, "appliance",
    )  # fmt: skip
    await live.outcome()
    assert await stage(upgraded) == ("small", "")
