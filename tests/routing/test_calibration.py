"""Calibration and serving of a route over two classifiers, end to end; no language model."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

import appliance
from appliance.api.admin.gates import seal_of
from appliance.app import Services, open_services
from appliance.datasets import ledger as ledgers
from appliance.datasets.items import Item
from appliance.errors import ApplianceError, EvaluationRefused, PolicyRefused
from appliance.evals import asking
from appliance.evals.job import DIRECTORY
from appliance.host import at_rest
from appliance.looks.answers import BATCH
from appliance.routing import calibration, catalogue
from appliance.routing.certifying import Observed
from appliance.trust.artifacts.store import load_policy
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import route as statements
from tests.conftest import CHECKOUT
from tests.routing.world import (
    DATA_ID,
    GROUPS,
    LARGE_ID,
    ROUTE_ID,
    SMALL_ID,
    Certified,
    answer,
    app,
    calibrate,
    copied,
    entries,
    envelope,
    terms,
    write_dataset,
    write_route,
)
from tests.smol import SMALL

pytestmark = [pytest.mark.xdist_group("routes"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(
    certified: Certified, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    data = certified.copy(tmp_path_factory.mktemp("calibration"))
    with open_services(data, config=SMALL) as services:
        yield services
        await services.inference.drain(30)


async def test_a_route_is_certified_and_then_its_first_stage_answers(
    lab: Services, certified: Certified
) -> None:
    before, result = certified.before, certified.result
    assert before.about is not None and before.about.routed is not None
    assert (before.about.routed.stage, before.about.routed.certificate) == ("large", "")
    assert result["verdict"] == "certified", result
    assert result["groups"] == GROUPS and result["doubtful"] == "larger"
    assert 0.5 < result["coverage"] < 0.85
    assert (result["looks"], result["looks_left"]) == (1, 3)
    (look,) = entries(lab, action="route_look", job=result["job"])
    taken = lab.ledger.of_certificate(result["certificate"])
    assert taken is not None and look["share_micros"] == taken.share_micros
    asked = entries(lab, kind="intent", key_id="evaluation")
    mine = [e["seq"] for e in asked if e["request_id"].startswith(f"route-{result['job']}-certify")]
    assert len(mine) == 2 * GROUPS and min(mine) > look["seq"]
    told = json.dumps(entries(lab))
    assert "dev-orders-data" in told  # the control: open items are named
    assert "certify-orders-data" not in told  # sealed ones are not
    place = lab.data / DIRECTORY / str(result["job"])
    written = b"".join(path.read_bytes() for path in place.iterdir())
    assert b"certify-orders-data" not in written  # items stay encrypted
    sure = await answer(lab, app(), "replace hose")
    assert sure.text == "hydraulics" and sure.about is not None
    assert sure.about.routed is not None
    assert (sure.about.routed.stage, sure.about.routed.hops) == ("small", 1)
    assert sure.about.routed.certificate == result["certificate"]
    assert sure.about.stage == "classifier" and (sure.about.confidence or 0) >= result["threshold"]
    caller = app()
    doubtful = await answer(lab, caller, "replace jumbo")
    assert doubtful.text == "engine" and doubtful.about is not None
    assert doubtful.about.routed is not None
    assert (doubtful.about.routed.stage, doubtful.about.routed.hops) == ("large", 2)
    hops = entries(lab, kind="intent", request_id=caller.request_id)
    assert [(h["hop"]["stage"], h["hop"]["number"], h["hop"]["before"]) for h in hops] == [
        ("small", 1, ""),
        ("large", 2, "in_doubt"),
    ]
    assert [h["model"] for h in hops] == [SMALL_ID, LARGE_ID]
    assert hops[0]["hop"]["certificate"] == result["certificate"]
    intent, outcome = lab.reader.find_request(caller.request_id, "evaluation")
    assert intent.body["hop"] == hops[1]["hop"] and outcome is not None
    certificate = lab.routes.certificates.of(terms(lab).route_digest, _policy(lab))[0]
    assert certificate.id == result["certificate"]
    assert certificate.found.threshold_micros == round(result["threshold"] * 1e6)
    assert (certificate.found.interval, certificate.found.company) == ("tango", False)
    page = at_rest.read(place / "report.html").decode()
    assert "of the last 365 days: 1 (1 at delta 0.05)" in page and "Room is left" not in page
    assert "Certified" in page and "accepted error against coverage" in page


async def test_what_the_rules_leave_is_certified(lab: Services, tmp_path: Path) -> None:
    """An easy half is ruled away; a certificate measured with it lets nothing through."""
    rule = '\n[[rules]]\nto = "large"\ncontains = ["hose"]\n'
    write_route(lab, tmp_path / "ruled", tail=rule)
    write_dataset(lab, tmp_path / "more", dev=160, certify=160)
    result = await calibrate(lab, terms(lab, route="ruled", dataset="more"))
    place = lab.data / DIRECTORY / str(result["job"])
    assert 0 < result["reach"] < 1 and result["groups"] == round(result["reach"] * 160)
    asked = [e["request_id"] for e in entries(lab, kind="intent", key_id="evaluation")]
    mine = [a for a in asked if a.startswith(f"route-{result['job']}-certify")]
    assert len(mine) == 2 * result["groups"]
    assert (
        result["certificate"] and "<h2>Promise</h2>" in at_rest.read(place / "report.html").decode()
    )
    old = lab.routes.certificates.of(terms(lab).route_digest, _policy(lab))[0]
    route = lab.routes._look("ruled").route
    with pytest.raises(PolicyRefused) as caught:
        catalogue.check_small(
            replace(old, found=msgspec.structs.replace(old.found, reach_micros=None)), route
        )
    assert caught.value.code == "route_certificate_other"


async def test_a_suspended_certificate_lets_nothing_through(lab: Services) -> None:
    certificate = lab.routes.certificates.of(terms(lab).route_digest, _policy(lab))[0]
    lab.routes.suspend(certificate.id, "a test")
    lab.routes.suspend(certificate.id, "another")
    found = await answer(lab, app(), "replace hose")
    assert found.about is not None and found.about.routed is not None
    assert found.about.routed.stage == "large"
    assert lab.routes.certificates.suspended(certificate.id) == "a test"
    assert (await lab.routes.standing(ROUTE_ID)).why == "route_suspended"


async def test_a_small_dataset_takes_no_look(lab: Services, tmp_path: Path) -> None:
    write_dataset(lab, tmp_path / "few", certify=49, dev=50)
    result = await calibrate(lab, terms(lab, dataset="few"))
    assert (result["verdict"], result["reason"]) == ("not_certifiable", "underpowered")
    assert result["certificate"] is None and result["groups_needed"] >= 50
    assert not entries(lab, action="route_look", dataset="few")


async def test_a_sealed_item_that_does_not_fit_takes_no_look(lab: Services, tmp_path: Path) -> None:
    write_dataset(lab, tmp_path / "unfit", unfit=2)
    with pytest.raises(ApplianceError) as caught:
        await calibrate(lab, terms(lab, dataset="unfit"))
    assert caught.value.code == "sealed_item_unfit" and "2 of 100 " in caught.value.message
    assert "cab" not in caught.value.message and "certify" not in caught.value.message
    assert not entries(lab, action="route_look", dataset="unfit")


async def test_answers_weigh_as_their_groups_have_items(lab: Services, tmp_path: Path) -> None:
    """Every third group has two items: others are drawn half as often. Control: groups alike."""
    grouping = {"weight": "groups", "group_from": "text"}
    head = "".join(f'{name} = "{value}"\n' for name, value in grouping.items())
    write_route(lab, tmp_path / "alike", head=head)
    write_dataset(lab, tmp_path / "twos", dev=160, certify=240, doubled=3)
    result = await calibrate(lab, terms(lab, dataset="twos"))
    groups = 180
    assert (result["weight"], result["effective"]) == ("answers", 240**2 // (60 * 4 + 120))
    assert 90 < result["groups"] < 150 < groups
    old = lab.routes.certificates.of(terms(lab).route_digest, _policy(lab))[0]
    assert (old.wanted.weight, old.found.largest) == ("answers", 2)
    write_dataset(lab, tmp_path / "others", dev=160, certify=240, doubled=3)
    result = await calibrate(lab, terms(lab, route="alike", dataset="others"))
    assert (result["weight"], result["effective"], result["groups"]) == ("groups", groups, groups)
    page = at_rest.read(lab.data / DIRECTORY / str(result["job"]) / "report.html").decode()
    assert "Groups count alike, however many requests each sends." in page


async def test_groups_of_few_sizes_take_no_look(lab: Services, tmp_path: Path) -> None:
    """121 groups, one with half of the items, weigh as 4 of one size."""
    write_dataset(lab, tmp_path / "busy", dev=160, certify=240, busy=120)
    result = await calibrate(lab, terms(lab, dataset="busy"))
    assert result["certificate"] is None and result["reason"] == "underpowered"
    assert not entries(lab, action="route_look", dataset="busy")


@pytest.mark.parametrize("answered", [0, 1])
async def test_too_many_failures_of_ours_end_a_calibration_without_a_verdict(
    lab: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answered: int
) -> None:
    """With 100 of 100 the look is not spent; one answer that was seen spends it."""
    real, seen, name = calibration.observe, 0, f"lost{answered}"

    async def lost(stages: Any, label: str, item: Item, **more: Any) -> Observed:
        nonlocal seen
        found = await real(stages, label, item, **more)
        if not item.id.startswith("certify"):
            return found
        seen += 1
        if seen <= answered:
            return found
        return replace(found, features=None, small=False, told="", larger_told="", unasked="x")

    monkeypatch.setattr(calibration, "observe", lost)
    write_dataset(lab, tmp_path / name)
    with pytest.raises(ApplianceError) as caught:
        await calibrate(lab, terms(lab, dataset=name))
    assert caught.value.code == "gate_interrupted"
    verdict = entries(lab, action="route_verdict")[-1]
    assert verdict["verdict"] == ("interrupted" if answered else "unspent")
    seal = seal_of(lab, name)
    left = ledgers.remaining(lab.ledger.looks(seal.parts["certify"].marks), seal.schedule)
    assert left == (ledgers.FALLING[1:] if answered else ledgers.FALLING)
    assert lab.agreement.standing.told() == []
    await lab.jobs.resume(verdict["job"], "uid:0")
    again = lab.jobs.live(verdict["job"])
    assert again is not None
    with pytest.raises(ApplianceError) as caught:
        await again.outcome()
    assert caught.value.code == "gate_interrupted"
    assert entries(lab, action="route_verdict")[-1] == verdict  # judged once


async def test_open_items_that_could_not_be_asked_are_asked_when_it_is_resumed(
    lab: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = calibration.observe, Counter[str]()

    async def lost(stages: Any, label: str, item: Item, **more: Any) -> Observed:
        asked[item.id] += 1
        found = await real(stages, label, item, **more)
        return replace(found, features=None, told="", unasked="x") if ends(item.id) else found

    def ends(name: str) -> bool:
        return name.startswith("dev") and name.endswith("1") and asked[name] == 1

    monkeypatch.setattr(calibration, "observe", lost)
    write_dataset(lab, tmp_path / "resumed")
    with pytest.raises(ApplianceError) as caught:
        await calibrate(lab, terms(lab, dataset="resumed"))
    assert caught.value.code == "gate_interrupted" and "No look" in caught.value.message
    job = (await lab.jobs.newest(1))[0].job.id
    await lab.jobs.resume(job, "uid:0")
    live = lab.jobs.live(job)
    assert live is not None
    result = (await live.outcome()).document
    assert result["verdict"] == "certified"
    again = {name for name, count in asked.items() if count == 2}
    assert again == {n for n in asked if n.startswith("dev") and n.endswith("1")}


async def test_what_is_lost_is_asked_again(
    lab: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each item's engine is lost twice. Control: invalid outputs."""
    real, tries = asking.asked, Counter[str]()

    async def lost(inference: Any, label: str, *more: Any) -> asking.CandidateReply:
        tries[label] += 1
        if "certify" in label and tries[label] < asking.TRIES:
            return asking.CandidateReply(None, "worker_lost", 0.0)
        return await real(inference, label, *more)

    monkeypatch.setattr(asking, "asked", lost)
    monkeypatch.setattr(asking, "_RETRY_S", 0.0)
    write_dataset(lab, tmp_path / "again")
    result = await calibrate(lab, terms(lab, dataset="again"))
    assert result["verdict"] == "certified" and result["unasked"] == 0
    assert {n for label, n in tries.items() if "certify" in label} == {asking.TRIES}

    async def invalid(inference: Any, label: str, *more: Any) -> asking.CandidateReply:
        if "certify" in label:
            return asking.CandidateReply(None, "output_invalid", 0.0)
        return await real(inference, label, *more)

    monkeypatch.setattr(asking, "asked", invalid)
    write_dataset(lab, tmp_path / "invalid")
    result = await calibrate(lab, terms(lab, dataset="invalid"))
    assert result["certificate"] is None and result["unasked"] == 0


async def test_items_with_times_pass_a_backtest(lab: Services, tmp_path: Path) -> None:
    path = tmp_path / "times"
    write_dataset(lab, path, times=True)
    result = await calibrate(lab, terms(lab, dataset="times"))
    assert result["verdict"] == "certified" and len(result["origins"]) == 2
    assert all(origin["wrong"] == 0 for origin in result["origins"])


@pytest.mark.parametrize("point", ["batch", pytest.param("look", marks=pytest.mark.slow)])
async def test_a_killed_calibration_resumes_with_its_look(
    route_data: Path, certified: Certified, tmp_path: Path, point: str
) -> None:
    data, file = copied(route_data, tmp_path), tmp_path / "specification.json"
    with open_services(data, config=SMALL) as services:
        file.write_bytes(envelope(services, terms(services)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.routing.killed", data, file, point, cwd=CHECKOUT
    )
    assert await process.wait() == -signal.SIGKILL
    with open_services(data, config=SMALL) as services:
        marks = seal_of(services, DATA_ID).parts["certify"].marks
        (before,) = services.ledger.looks(marks)
        assert before.verdict == ""
        await services.jobs.serve()
        live = services.jobs.live(before.job)
        assert live is not None
        result = (await live.outcome()).document
        await services.inference.drain(30)
        (after,) = services.ledger.looks(marks)
        assert (after.id, after.entry, after.verdict) == (before.id, before.entry, "pass")
        assert (result["looks"], len(entries(services, action="route_look"))) == (1, 1)
        asked = [str(entry["request_id"]) for entry in entries(services, kind="intent")]
        sealed = [one for one in asked if one.startswith(f"route-{before.job}-certify-")]
        assert len(sealed) == len(set(sealed)) == 2 * GROUPS
    same = ("verdict", "threshold", "coverage", "limit", "groups")
    assert {name: result[name] for name in same} == {n: certified.result[n] for n in same}


async def test_answers_of_two_releases_are_not_judged_together(
    lab: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the look everything is asked again; after it the look ends."""
    real, phases, asked = calibration.observe, ["dev", "certify"], list[str]()

    async def stopped(stages: Any, label: str, item: Item, **more: Any) -> Observed:
        asked.append(item.id)
        if phases and f"-{phases[0]}" in label and len(asked) > 2 * BATCH:
            raise EvaluationRefused("gate_interrupted", "The server ended.")
        return await real(stages, label, item, **more)

    monkeypatch.setattr(calibration, "observe", stopped)
    write_dataset(lab, tmp_path / "upgraded")
    with pytest.raises(ApplianceError, match="The server ended"):
        await calibrate(lab, terms(lab, dataset="upgraded"))
    job = (await lab.jobs.newest(1))[0].job.id

    async def upgraded(release: str) -> str:
        monkeypatch.setattr(appliance, "__version__", release)
        asked.clear()
        await lab.jobs.resume(job, "uid:0")
        live = lab.jobs.live(job)
        assert live is not None
        with pytest.raises(ApplianceError) as caught:
            await live.outcome()
        return caught.value.message

    del phases[0]
    before = set(asked)
    assert "The server ended" in await upgraded("9.8")
    assert before < set(asked)  # also those that were kept
    del phases[0]
    assert "appliance 9.8" in (told := await upgraded("9.9")) and "The look counts" in told
    (look,) = lab.ledger.looks(seal_of(lab, "upgraded").parts["certify"].marks)
    assert (look.verdict, look.certificate) == ("interrupted", "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"error_micros": 100_001}, "specification_other"),
        ({"margin_micros": 100_001}, "specification_other"),
        ({"small": LARGE_ID}, "specification_other"),
        ({"larger": ""}, "specification_other"),
        ({"looks": 1, "schedule": ()}, "specification_other"),
        ({"schedule": ()}, "specification_other"),
        ({"weight": "groups"}, "specification_other"),
        ({"weight": ""}, "specification_other"),
        ({"route_digest": "1" * 64}, "specification_other"),
        ({"dataset_digest": "1" * 64}, "specification_other"),
        ({"split": "test"}, "dataset_not_sealed"),
        ({"name": "approver-1"}, "specifier_not_allowed"),
        ({"route": DATA_ID, "route_digest": "1" * 64}, "specification_other"),
    ],
)
async def test_what_is_wrong_is_found_before_the_look(
    lab: Services, change: dict[str, str], code: str
) -> None:
    before = len(entries(lab, action="route_look"))
    if change.get("route") == DATA_ID:
        change = {**msgspec.to_builtins(terms(lab)), **change}
        wanted = statements.RouteSpecification(**change)  # type: ignore[arg-type]
    else:
        wanted = terms(lab, **change)
    with pytest.raises(ApplianceError) as caught:
        await calibrate(lab, wanted)
    assert caught.value.code == code
    assert len(entries(lab, action="route_look")) == before


def _policy(services: Services) -> TrustPolicy:
    return load_policy(services.data / "trust")
