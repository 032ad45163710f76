"""An engine that does as before takes the certificate of a route over; another one ends it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from appliance.api.admin import gates
from appliance.app import Services, open_services
from appliance.datasets.items import Item
from appliance.errors import ApplianceError, PolicyRefused
from appliance.evals import asking
from appliance.evals.outcomes import Outcome
from appliance.looks import replay
from appliance.routing import calibration, certifying
from appliance.routing.carry import OpenReplay, judged_again, place_of
from appliance.routing.certifying import CertificationPlan
from appliance.routing.subject import Drawn
from appliance.server import serve
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import evidence
from appliance.trust.policy import lab
from appliance.trust.statements import route as statements
from appliance.trust.statements.route import ACCEPTED, RouteCertificate
from tests.evals.test_gate_simulation import told as print_figures
from tests.routing import test_certifying as planted
from tests.routing.test_certifying import DELTA, ERROR, TERMS
from tests.routing.world import GROUPS, ROUTE_ID, SURE, Certified, answer, app, entries, terms
from tests.smol import SMALL
from tests.trust.statements.test_route import at, wanted

pytestmark = pytest.mark.xdist_group("routes")

FLIPPED = "dev-orders-data003"
OLD, NOW = "llama-cpp-python 0.2.1 build old", "llama-cpp-python 0.3.99 build new"


@pytest.fixture
async def upgraded(certified: Certified, tmp_path: Path) -> AsyncIterator[Services]:
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
    listed = [(c.task, c.today, c.why) for c in gates._unbounded(upgraded)]
    assert listed == [(ROUTE_ID, "change not bounded", "route_certificate_other")]
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
    assert same == {"": GROUPS, ACCEPTED: accepted}
    assert standing.certificate.circumstances.accepted == (accepted,)  # its first threshold
    assert len(gates._unbounded(upgraded)) == 1  # not this one
    assert result["coverage"] == result["coverage_before"] == certified.result["coverage"]
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
    for outcomes in (upgraded.data / "evaluations").rglob(calibration.SEALED):
        outcomes.unlink()  # then the certificate's own threshold must bear the change
    assert (await carry(upgraded))["flips"] == []
    standing = await upgraded.routes.standing(ROUTE_ID)
    assert standing.certificate is not None and standing.certificate.circumstances.accepted == ()


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


class Carried(NamedTuple):
    """Answers and open groups; `error` is the true share of wrong ones under the old engine."""

    coverage: float
    error: float
    groups: int

    def wrong(self, changed: float) -> float:
        """Chance that too much is wrong though no open answer differs.

        Args:
            changed: share of the accepted answers that the other engine turns wrong.
        """
        error = self.error + changed * (1 - self.error)
        return (1 - changed) ** self.groups if error > ERROR + 1e-9 else 0.0


def kept_of(plan: CertificationPlan, dev: list[certifying.Observed], **terms: Any) -> OpenReplay:
    items = {o.item: Item(o.item, o.group, {"text": "x"}, "a") for o in dev}
    told = {
        o.item: calibration.replayed(o, plan.function, plan.thresholds, larger=True) for o in dev
    }
    return OpenReplay(told, items, wanted(**terms))


def upgrade(seed: int, open_: int, groups: int) -> tuple[Carried | None, Carried | None] | None:
    generator = np.random.default_rng(seed)
    dev = planted.drawn(generator, open_)
    plan = certifying.plan(dev, TERMS, groups)
    seen = sorted(planted.drawn(generator, groups), key=lambda o: o.item)
    if not isinstance(plan, CertificationPlan):
        return None
    verdict = certifying.judge(plan, seen, [], TERMS, DELTA)
    if not verdict.certified:
        return None
    sizes = {o.group: 1 for o in seen}
    found = calibration.found_of(plan, verdict, TERMS, seen, Drawn((), sizes))
    kept = kept_of(plan, dev, looks=1, weight="groups")
    certificate = RouteCertificate("6" * 64, kept.wanted, found, at(), "")

    def of(certificate: RouteCertificate) -> Carried:
        coverage = planted.coverage_of(plan, certificate.found.threshold_micros or 0)
        there = kept.groups(place_of(certificate.found))[ACCEPTED]
        return Carried(coverage, 0.19 * coverage**planted._B, there)

    try:
        borne = judged_again(certificate, kept, seen)[0]
    except PolicyRefused as error:
        assert error.code == "route_change_unbounded"
        return None, of(certificate)
    assert borne.found.limit_micros <= kept.wanted.error_micros
    return of(borne), of(certificate)


CHANGED = (0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06)


def upgrades(count: int, open_: int, groups: int) -> tuple[int, float, float]:
    """Number carried over; the chance of a wrong one at the worst change, and without bound."""
    found = [each for seed in range(count) if (each := upgrade(seed, open_, groups))]
    carried = [borne for borne, _ in found if borne]
    own = [each for _, each in found if each]
    wrong, control = (
        max(sum(each.wrong(share) for each in some) / len(found) for share in CHANGED)
        for some in (carried, own)
    )
    coverage = [sum(each.coverage for each in some) / len(found) for some in (carried, own)]
    print_figures(
        f"{open_} open, {groups} sealed: {len(carried)} of {len(found)} carried, coverage "
        f"{coverage[1]:.2f} to {coverage[0]:.2f}, {wrong:.1%} wrong, without bound {control:.1%}"
    )
    return len(carried), wrong, control


def test_a_raised_threshold_bears_the_change() -> None:
    carried, wrong, _ = upgrades(6, 400, 1_000)
    assert carried >= 3 and wrong <= DELTA
    few, wrong, control = upgrades(6, 60, 1_000)
    assert (few, wrong) == (0, 0.0) and control > 2 * DELTA  # the control: as it was certified


@pytest.mark.slow
@pytest.mark.parametrize(("open_", "groups"), [(300, 300), (300, 1_000), (1_000, 1_000)])
def test_carried_routes_hold_in_many_upgrades(open_: int, groups: int) -> None:
    carried, wrong, _ = upgrades(100, open_, groups)
    assert carried > 35 and wrong <= planted.allowed(100)


def test_older_answers_tell_their_own_threshold_alone() -> None:
    answers = {"a": ["d", ACCEPTED, "e"], "b": ["d", calibration.DOUBTFUL, ""]}
    kept = OpenReplay(answers, {}, wanted())
    assert not kept.placed and kept.at(0) == kept.at(7) == answers
    placed = OpenReplay({"a": ["d", "2", "e"], "b": answers["b"]}, {}, wanted())
    assert placed.placed and placed.at(2) == answers
    assert placed.at(1)["a"] == ["d", calibration.DOUBTFUL, "e"]


def test_a_threshold_behind_one_that_fails_is_not_looked_at() -> None:
    generator = np.random.default_rng(3)
    plan = planted.fixed()
    seen = planted.drawn(generator, 1_000)
    surest = sorted(seen, key=lambda o: -o.score(plan.function))[:5]
    bad = [replace(o, small=o.small and o not in surest) for o in seen]
    rooms = [0.03] * len(plan.thresholds)
    for outcomes, some in ((seen, True), (bad, False)):
        found = certifying.under_change(plan.function, plan.thresholds, outcomes, TERMS, rooms)
        assert (found is not None) is some
    none = [0.0, *rooms[1:]]  # without room it is passed over, by open items alone
    passed = certifying.under_change(plan.function, plan.thresholds, bad, TERMS, none)
    assert passed is None or passed.threshold != plan.thresholds[0]
