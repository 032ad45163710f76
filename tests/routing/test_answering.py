"""Answers of routes: who is asked, what passes an input on, and no way around quota and access."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from appliance.advisor import watch
from appliance.advisor.blocks import WEEK_US, WeekBlock, profile, week_of
from appliance.advisor.drift import Watch
from appliance.api.admin import facts
from appliance.app import Services, open_services
from appliance.audit.log import Draft
from appliance.clock import FixedClock, SystemClock
from appliance.config import DriftConfig, RoutesConfig
from appliance.errors import (
    ApplianceError,
    AuditUnavailable,
    BadRequest,
    NotFound,
    Overloaded,
    Unavailable,
    WorkerLost,
)
from appliance.evals.job import DIRECTORY as EVALUATIONS
from appliance.incidents import rules
from appliance.routing import answering, catalogue
from appliance.routing.answering import DEFERRED, _passed_on
from appliance.trust.artifacts.store import load_policy
from appliance.types import CLAIM, EndUser, Json, Limits, TaskAnswer
from appliance.wire.admin.advice import ADVISE, AdviceWanted
from appliance.wire.admin.routes import ROUTE, ROUTE_LABEL, ROUTE_SAMPLE, LabelGiven, Traffic
from tests.advisor.test_options import RESULT
from tests.advisor.test_task_facts import write
from tests.api.admin.lab import client_of
from tests.incidents.following import followed
from tests.routing.world import (
    DOUBTFUL,
    LARGE_ID,
    ROUTE_ID,
    SMALL_ID,
    SURE,
    Certified,
    answer,
    app,
    asked,
    calibrate,
    entries,
    terms,
    write_dataset,
    write_route,
)
from tests.smol import SMALL

DAY_US = 86_400_000_000

pytestmark = [pytest.mark.xdist_group("routes"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(
    certified: Certified, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    data = certified.copy(tmp_path_factory.mktemp("answering"))
    config = replace(SMALL, routes=RoutesConfig(sample_percent=0))
    with open_services(data, config=config) as services:
        yield services
        await services.inference.drain(30)


def stage(found: Any) -> str:
    about: TaskAnswer | None = found.about
    assert about is not None and about.routed is not None
    return about.routed.stage


async def refused(services: Services, caller: Any, text: str, model: str = ROUTE_ID) -> str:
    with pytest.raises(ApplianceError) as caught:
        await answer(services, caller, text, model)
    return caught.value.code


async def test_a_route_is_listed_for_the_apps_that_may_use_it(lab: Services) -> None:
    def ids(caller: Any) -> list[str]:
        return [card.id for card in lab.inference.cards(caller.principal)]

    assert ids(app()) == [ROUTE_ID, LARGE_ID, SMALL_ID]
    assert ids(app(ROUTE_ID)) == [ROUTE_ID]
    assert ids(app(SMALL_ID)) == [SMALL_ID]
    assert await refused(lab, app(SMALL_ID), SURE) == "model_not_found"


async def test_a_route_is_as_long_as_its_longest_stage(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = (card for card in lab.inference.cards(app().principal) if card.id == ROUTE_ID)
    assert (before.use, before.n_ctx) == ("route", 0)  # neither classifier reads tokens
    known = lab.inference._backends.cards()
    lengths = {SMALL_ID: 256, LARGE_ID: 4096}
    longer = [replace(card, n_ctx=lengths.get(card.id, 0)) for card in known]
    monkeypatch.setattr(lab.inference._backends, "cards", lambda: longer)
    (route,) = (card for card in lab.inference.cards(app().principal) if card.id == ROUTE_ID)
    assert route.n_ctx == 4096


async def test_the_key_must_be_allowed_every_stage_that_answers(lab: Services) -> None:
    assert stage(await answer(lab, app(ROUTE_ID, SMALL_ID), SURE)) == "small"
    assert await refused(lab, app(ROUTE_ID, SMALL_ID), DOUBTFUL) == "task_deferred"
    assert stage(await answer(lab, app(ROUTE_ID, LARGE_ID), SURE)) == "large"
    caller = app(ROUTE_ID)
    assert await refused(lab, caller, SURE) == "task_deferred"
    assert not entries(lab, kind="intent", request_id=caller.request_id)
    (told,) = entries(lab, action="route_deferred", request_id=caller.request_id)
    assert (told["route"], told["hops"], told["why"]) == (ROUTE_ID, 2, "model_not_found")


async def test_a_quota_that_is_used_up_lets_no_larger_stage_answer(lab: Services) -> None:
    caller = app(limits=Limits(rpm=1), key_id="k1")
    assert await refused(lab, caller, DOUBTFUL) == "rate_limit_exceeded"
    hops = entries(lab, kind="intent", request_id=caller.request_id)
    assert [hop["model"] for hop in hops] == [SMALL_ID]
    assert not entries(lab, action="route_deferred", request_id=caller.request_id)
    twice = app(limits=Limits(rpm=2), key_id="k2")
    assert stage(await answer(lab, twice, DOUBTFUL)) == "large"


async def test_the_content_of_each_hop_is_kept_as_the_key_says(lab: Services) -> None:
    caller = app()
    quiet = replace(caller, principal=replace(caller.principal, content="off"))
    await answer(lab, quiet, DOUBTFUL)
    hops = entries(lab, kind="intent", request_id=caller.request_id)
    outcomes = entries(lab, kind="outcome", request_id=caller.request_id)
    assert len(hops) == len(outcomes) == 2
    assert not any("ciphertext" in str(body["content"]) for body in (*hops, *outcomes))
    loud = app()
    await answer(lab, loud, DOUBTFUL)
    kept = entries(lab, kind="intent", request_id=loud.request_id)
    assert all("ciphertext" in str(body["content"]) for body in kept)


async def test_a_certificate_that_is_suspended_meanwhile_lets_nothing_through(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = app()
    walk = await lab.inference.start(caller, asked(SURE))
    known = lab.routes.standing
    before = await known(ROUTE_ID)

    async def suspended(route_id: str) -> Any:
        return replace(before, certificate=None, function=None, why="route_suspended")

    monkeypatch.setattr(lab.routes, "standing", suspended)
    pieces = [piece async for piece in walk]
    assert stage(pieces[-1]) == "large"
    hops = entries(lab, kind="intent", request_id=caller.request_id)
    assert [hop["hop"]["before"] for hop in hops] == ["", "route_suspended"]


async def test_rules_send_inputs_past_stages(lab: Services, tmp_path: Path) -> None:
    rules = '\n[[rules]]\nto = "large"\nlonger_than = 40\n'
    rules += '\n[[rules]]\nto = "defer"\ncontains = ["recall"]\n'
    write_route(lab, tmp_path / "ruled", tail=rules)
    assert stage(await answer(lab, app(), "replace hose " + "x" * 40, "ruled")) == "large"
    caller = app()
    assert await refused(lab, caller, "RECALL of pumps", "ruled") == "task_deferred"
    (told,) = entries(lab, action="route_deferred", request_id=caller.request_id)
    assert (told["why"], told["hops"]) == ("rule", 0)
    once = app(limits=Limits(rpm=1), key_id="k3")  # what costs no computing counts, too
    assert await refused(lab, once, "RECALL of pumps", "ruled") == "task_deferred"
    assert await refused(lab, once, "RECALL of pumps", "ruled") == "rate_limit_exceeded"
    assert len(entries(lab, action="route_deferred", request_id=once.request_id)) == 1


async def test_a_stage_that_is_another_task_now_is_passed_over(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = await lab.routes.standing(ROUTE_ID)
    small = standing.route.stages[0]
    other = type(small)(small.name, task=small.task, digest="9" * 64)
    route = type(standing.route)(
        standing.route.id, 1, "d", standing.route.terms, (other, standing.route.stages[1])
    )

    async def changed(route_id: str) -> Any:
        return replace(standing, route=route)

    monkeypatch.setattr(lab.routes, "standing", changed)
    caller = app()
    assert stage(await answer(lab, caller, SURE)) == "large"
    (hop,) = entries(lab, kind="intent", request_id=caller.request_id)
    assert hop["hop"]["before"] == "route_stage_away"


async def test_a_stage_without_a_place_is_passed_over(lab: Services) -> None:
    lab.inference.busy[ROUTE_ID, "small"] = 64
    assert stage(await answer(lab, app(), SURE)) == "large"
    lab.inference.busy[ROUTE_ID, "large"] = 64
    assert await refused(lab, app(), SURE) == "task_deferred"
    lab.inference.busy.clear()
    assert stage(await answer(lab, app(), SURE)) == "small"
    assert not any(lab.inference.busy.values())


async def test_places_are_given_back_by_answers_that_are_never_read(lab: Services) -> None:
    walk = await lab.inference.start(app(), asked(SURE))
    assert lab.inference.busy[ROUTE_ID, "small"] == 1
    await walk.cancel()
    await walk.cancel()
    assert lab.inference.busy[ROUTE_ID, "small"] == 0


async def test_a_slow_stage_is_passed_over(lab: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answering.Walk._whole

    async def slow(self: Any) -> Any:
        if self._stage.name == "small":
            self._deadline = 0.0
        return await whole(self)

    monkeypatch.setattr(answering.Walk, "_whole", slow)
    caller = app()
    assert stage(await answer(lab, caller, SURE)) == "large"
    hops = entries(lab, kind="intent", request_id=caller.request_id)
    assert hops[1]["hop"]["before"] == "slow"


async def test_a_wrong_input_is_refused_by_name(lab: Services) -> None:
    assert await refused(lab, app(), '{"text": 5}') == "task_input_invalid"


async def test_accepted_answers_are_drawn_for_labels(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.monitors, "_share", 1.0)
    with client_of(lab) as client:
        for text in (SURE, DOUBTFUL):
            await answer(lab, app(), text)
        await lab.monitors.settled()
        waiting = await asyncio.to_thread(lambda: client.call(ROUTE_SAMPLE, route=ROUTE_ID))
        assert waiting.id and waiting.input == {"text": SURE}
        assert sorted(waiting.labels) == ["engine", "hydraulics"]
        given = LabelGiven.of(id=waiting.id, label="engine")
        shown = await asyncio.to_thread(lambda: client.call(ROUTE_LABEL, given, route=ROUTE_ID))
        assert shown.watched is not None  # of the deferred one there is no sample
        assert (shown.watched.labelled, shown.watched.wrong, shown.watched.waiting) == (1, 1, 0)
        assert (await asyncio.to_thread(lambda: client.call(ROUTE_SAMPLE, route=ROUTE_ID))).id == 0
        weighed = Traffic(groups=80, effective=8.4, unknown=0.5, apart=0.25, error=1.0, beyond=True)
        origin = shown.certificates[0].id
        monkeypatch.setattr(lab.monitors, "_weighed", {origin: (ROUTE_ID, weighed)})
        shown = await asyncio.to_thread(lambda: client.call(ROUTE, route=ROUTE_ID))
        assert shown.watched is not None and shown.watched.traffic is not None
        assert vars(shown.watched.traffic) == vars(weighed)
        night = {alarm.code: alarm for alarm in rules.alarms(facts.gathered(lab))}
        assert "weigh as 8 of one size" in night["route_weights"].message
    (entry,) = entries(lab, action="route_label")
    assert entry["sample"] == waiting.id and "engine" not in str(entry)


@pytest.mark.parametrize(
    ("group_from", "group"),
    [("key", "app"), ("person", "ann"), ("text", SURE), ("", "")],
)
async def test_a_request_has_the_group_that_the_route_says(
    lab: Services, monkeypatch: pytest.MonkeyPatch, group_from: str, group: str
) -> None:
    standing = await lab.routes.standing(ROUTE_ID)
    route = msgspec.structs.replace(standing.route, group_from=group_from)
    seen: list[answering.Accepted] = []

    async def changed(_route: str) -> catalogue.RouteStanding:
        return replace(standing, route=route)

    monkeypatch.setattr(lab.routes, "standing", changed)
    monkeypatch.setattr(lab.inference, "parts", replace(lab.inference.parts, accepted=seen.append))
    who = app()
    ann = replace(who, principal=replace(who.principal, person=EndUser("ann", CLAIM, "p-1")))
    generation = await lab.inference.start(ann, asked(SURE))
    assert [piece async for piece in generation]
    assert [answer.group for answer in seen] == [group]


async def test_shares_by_stage_are_counted(lab: Services) -> None:
    lab.inference.shares.clear()
    for text in (SURE, SURE, DOUBTFUL):
        await answer(lab, app(), text)
    await refused(lab, app(ROUTE_ID), SURE)
    counted = {name: lab.inference.shares[ROUTE_ID, name] for name in ("small", "large", DEFERRED)}
    assert counted == {"small": 2, "large": 1, DEFERRED: 1}


async def test_an_alarm_of_drift_ends_certificates_but_those_of_routes_that_only_warn(
    certified: Certified, tmp_path: Path
) -> None:
    data = certified.copy(tmp_path)
    clock = FixedClock(SystemClock().wall_us())
    week = week_of(clock.now_us)
    config = replace(SMALL, drift=DriftConfig(suspend=True))
    with open_services(data, config=config, clock=clock) as services:
        write_route(services, tmp_path / "warned", head='on_drift = "warn"\n')
        other = write_dataset(services, tmp_path / "warned-data")
        made = await calibrate(services, terms(services, route="warned", dataset=other))
        assert made["verdict"] == "certified"
        known = [WeekBlock(week - 13 + n, 30, {"prompt": 3.7 + n % 4 / 100}) for n in range(12)]
        known += [WeekBlock(week - 1 + n, 30, {"prompt": 6.0}) for n in range(2)]
        kept = Watch(SMALL_ID, profile(week - 60, []), tuple(known), last_week=week)
        watch.keep(services.data / watch.DIRECTORY, kept)
        clock.now_us = (week + 1) * WEEK_US
        said: dict[str, Json] = {"request_id": "r", "key_id": "k", "model": SMALL_ID}
        for _ in range(20):
            (asked_,) = services.audit.append(Draft("intent", said)).result()
            done: dict[str, Json] = {"status": "ok", "prompt_tokens": 400, "intent": asked_.seq}
            services.audit.append(Draft("outcome", {**said, **done})).result()
        clock.now_us = (week + 2) * WEEK_US
        for _ in range(2):  # a second look changes nothing
            live = await services.jobs.start("drift", {"task": SMALL_ID}, "uid:0")
            assert (await live.outcome()).document["state"] == "alarm"
        (taken,) = entries(services, action="route_suspended")
        assert taken["route"] == ROUTE_ID and "length of the prompt rose" in taken["reason"]
        assert stage(await answer(services, app(), SURE)) == "large"
        # The task itself is suspended, too; the certificate of the other route stays.
        assert stage(await answer(services, app(), SURE, "warned")) == "large"
        (told,) = services.routes.alarms(load_policy(services.data / "trust"))
        assert told.message.startswith("The certificate of route orders is suspended: Drift.")
        night = {alarm.code: alarm for alarm in rules.alarms(facts.gathered(services))}
        assert night["route_suspended"].message == told.message
        assert f"`appliance route show {ROUTE_ID}`" in night["route_suspended"].next
        assert night["drift_found"].subject == SMALL_ID
        assert services.routes.ending_with_drift(SMALL_ID) == []
        assert [each.wanted.route for each in services.routes.holding(SMALL_ID)] == ["warned"]
        await services.inference.drain(30)


async def test_each_alarm_of_a_route_is_seen_and_ends(
    certified: Certified, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One app asks alone for weeks; labels are missing; those that come late are wrong."""
    fortnight = 2 * WEEK_US
    clock = FixedClock((SystemClock().wall_us() // fortnight + 1) * fortnight + 8 * DAY_US)
    config = replace(SMALL, routes=RoutesConfig(sample_percent=100, label_days=7))
    with (
        open_services(certified.copy(tmp_path), config=config, clock=clock) as services,
        followed(services, caplog) as seen,
    ):
        keyed = write_route(services, tmp_path / "keyed", head='group_from = "key"\n')

        async def calibrated(name: str) -> None:
            dataset = write_dataset(services, tmp_path / name)
            made = await calibrate(services, terms(services, route=keyed, dataset=dataset))
            assert made["verdict"] == "certified"

        async def days(count: int, answers: int = 0) -> None:
            for _ in range(count):
                for _ in range(answers):
                    await answer(services, app(), SURE, keyed)
                await services.monitors.settled()
                clock.advance(86_400)
                services.monitors.settle()

        def label_wrongly() -> int:
            given = 0
            while (sample := services.monitors.next(keyed)) is not None:
                services.monitors.label(keyed, sample.id, "engine", "uid:0")
                given += 1
            return given

        await calibrated("keyed-data")
        await days(10, answers=1)
        await days(8)
        await asyncio.to_thread(seen.tells, "route_unwatched", "of its labels are missing")
        await days(4)  # the fortnight is over: they are asked again
        assert label_wrongly() == 10
        services.monitors.settle()
        await asyncio.to_thread(seen.tells, "route_missing_wrong", "10 are wrong")
        await asyncio.to_thread(seen.ends, "route_unwatched")
        await days(60)
        await asyncio.to_thread(seen.ends, "route_missing_wrong")
        for _ in range(6):
            await days(1, answers=4)
            label_wrongly()
        await days(2)
        await asyncio.to_thread(seen.tells, "route_suspended", "are evidence against")
        await calibrated("keyed-later")
        await asyncio.to_thread(seen.ends, "route_suspended")
        quiet = replace(app(), principal=replace(app().principal, content="off"))
        for passed in (22, 1):
            for _ in range(100):
                await answer(services, quiet, SURE, keyed)
            await days(passed)
        await asyncio.to_thread(seen.tells, "route_weights", "1 groups weigh as 1 of one size")
        await days(40)
        await asyncio.to_thread(seen.ends, "route_weights")
        await services.inference.drain(30)


async def test_only_a_certified_first_stage_ends_with_its_drift(lab: Services) -> None:
    ((_, route),) = lab.routes.ending_with_drift(SMALL_ID)
    assert route == ROUTE_ID and lab.routes.ending_with_drift(LARGE_ID) == []
    assert lab.routes.alarms(load_policy(lab.data / "trust")) == []


async def test_advice_on_the_first_stage_rests_on_the_certificate(lab: Services) -> None:
    (held,) = lab.routes.holding(SMALL_ID)
    assert lab.routes.holding(LARGE_ID) == []
    told = {**RESULT, "task": SMALL_ID, "candidate": "small:orders"}
    write(lab.data / EVALUATIONS, 900, json.dumps(told))
    with client_of(lab) as client:
        wanted = AdviceWanted.of(task=SMALL_ID)
        found = (await asyncio.to_thread(lambda: client.call(ADVISE, wanted))).document.document
    (row,) = [option for option in found["options"] if option["name"] == "cascade"]
    assert (row["coverage"], row["rest"]) == (held.found.coverage_micros / 1e6, "larger")
    assert row["bound"] == held.wanted.error_micros / 1e6  # what is promised
    # The larger stage has no evaluation here: what it answers counts as wrong.
    assert row["interval"][0] == row["coverage"] * (1 - row["bound"])
    assert row["groups_to_certify"] == held.found.groups


async def test_tokens_of_all_hops_are_told(lab: Services) -> None:
    walk = await lab.inference.start(app(), asked(DOUBTFUL))
    assert [piece.text async for piece in walk] == ["engine"]
    assert (walk.prompt_tokens, walk.completion_tokens, walk.cached_tokens) == (0, 0, 0)
    assert walk.card.id == ROUTE_ID and walk.outcome is not None
    assert walk.about is not None
    assert walk.about.document()["route"]["stage"] == "large"
    await walk.cancel()


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (Unavailable("model_loading", "x"), True),
        (WorkerLost("worker_lost", "x"), True),
        (NotFound("model_not_found", "x"), True),
        (Overloaded("queue_full", "x"), True),
        (BadRequest("context_length_exceeded", "x"), True),
        (Overloaded("rate_limit_exceeded", "x"), False),
        (Overloaded("key_quarantined", "x"), False),
        (BadRequest("task_input_invalid", "x"), False),
        (AuditUnavailable("audit_unavailable", "x"), False),
        (Unavailable("shutting_down", "x"), False),
        (Unavailable("request_cancelled", "x"), False),
    ],
)
async def test_which_errors_pass_an_input_on(error: ApplianceError, passes: bool) -> None:
    if passes:
        assert _passed_on(error) == error.code
    else:
        with pytest.raises(ApplianceError):
            _passed_on(error)
