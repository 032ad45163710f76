"""Drift by the real log: whole weeks, once each, with consent, recorded, and by policy."""

import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.advisor import watch
from appliance.advisor.blocks import WEEK_US
from appliance.advisor.drift import Watch
from appliance.advisor.watch import (
    Watching,
    WatchParts,
    WatchWanted,
    begin_again,
    keep,
    load,
    result,
)
from appliance.app import Services, open_services
from appliance.audit.log import Draft
from appliance.audit.search import Query
from appliance.clock import FixedClock
from appliance.errors import Refused
from appliance.host import at_rest
from appliance.jobs.kind import Context
from appliance.types import Json, Receipt
from tests.api.admin.lab import make_lab

pytestmark = pytest.mark.long

START = 3_000 * WEEK_US
TASK = "orders"


class Logged:
    """Every week of the log has 21 requests; the first comes before a whole week."""

    def __init__(self, services: Services, clock: FixedClock) -> None:
        self.services, self.clock = services, clock
        self.suspended: list[tuple[str, str]] = []
        self.withdrawn: list[str] = []

    def withdraw(self, task: str, reason: str) -> None:
        assert reason.startswith("Drift.") and not reason.endswith(".")
        self.withdrawn.append(task)

    def week(self, number: int, text: str = "hose leaks", sure: int = 910_000) -> None:
        for day in range(7):
            self.clock.now_us = START + number * WEEK_US + day * WEEK_US // 7 + 1_000_000
            asked = [self.asked(number, 3 * day + n, text) for n in range(3)]
            receipts = [receipt for draft in asked for receipt in draft.result()]
            done = [
                self.answered(number, 3 * day + n, receipt.seq, sure)
                for n, receipt in enumerate(receipts)
            ]
            for draft in done:
                draft.result()

    def asked(
        self, number: int, request: int, text: str, key: str = "k"
    ) -> "Future[tuple[Receipt, ...]]":
        passages: list[Json] = [] if request < number % 3 else [{"id": 1}]
        fields: dict[str, Json] = {
            "request_id": f"r{number}.{request}", "key_id": key, "model": TASK,
            "retrieved": {"passages": passages},
        }  # fmt: skip
        prompt = {"prompt": json.dumps(f"{text} {request % 4 + number % 3}").encode()}
        return self.services.audit.append(Draft("intent", fields, prompt))

    def answered(
        self, number: int, request: int, intent: int, sure: int, key: str = "k"
    ) -> "Future[tuple[Receipt, ...]]":
        fields: dict[str, Json] = {
            "request_id": f"r{number}.{request}", "key_id": key, "model": TASK, "intent": intent,
            "status": "ok", "finish": "stop", "prompt_tokens": 40, "duration_us": 1_000,
            "completion_tokens": 2 + number % 4, "confidence_ppm": sure + 10_000 * (number % 5),
        }  # fmt: skip
        return self.services.audit.append(Draft("outcome", fields, {"completion": b"hydraulics"}))

    def parts(self, *, agreed: bool = True, suspends: bool = False) -> WatchParts:
        async def suspend(task: str, why: Refused) -> None:
            self.suspended.append((task, why.code))

        chosen: Callable[[str, Refused], Awaitable[object]] | None = suspend if suspends else None
        services = self.services
        return WatchParts(
            services.data / watch.DIRECTORY, services.reader, services.audit,
            lambda key: agreed and key == "k", lambda request: request.endswith(".0") or None,
            self.withdraw, chosen, self.clock,
        )  # fmt: skip

    async def look(self, **how: bool) -> dict[str, Any]:
        context = Context(
            1, "uid:0", WatchWanted(TASK), None, False, 0,
            lambda phase, done, total: None, lambda: None, lambda checkpoint: None,
        )  # fmt: skip
        return (await Watching(self.parts(**how)).run(context)).document

    def recorded(self, action: str) -> list[dict[str, Any]]:
        entries = self.services.reader.search(Query(kind="admin", limit=1_000)).entries
        return [dict(e.body) for e in entries if e.body["action"] == action]


@contextmanager
def logged(root: Path) -> Iterator[Logged]:
    clock = FixedClock(START)
    lab = make_lab(root)
    with open_services(lab.data, clock=clock) as services:
        yield Logged(services, clock)


async def test_weeks_are_read_once_and_a_change_is_an_alarm(tmp_path: Path) -> None:
    with logged(tmp_path) as log:
        assert (await log.look())["state"] == "learning"
        for number in range(14):
            log.week(number)
        log.clock.now_us = START + 14 * WEEK_US
        quiet = await log.look()
        # The first week may have begun before its first request, the next one is the profile.
        assert (quiet["state"], quiet["weeks"]) == ("learning", 12)
        wanted = {"unknown", "middle", "label 0", "misses", "overrides", "confidence"}
        assert wanted <= set(quiet["statistics"])
        (reading,) = log.recorded("content_read")
        assert (reading["purpose"], reading["task"], reading["texts"]) == ("drift", TASK, 546)
        for number in range(14, 17):
            log.week(number, text="ENTIRELY other WORDS than before")
        log.clock.now_us = START + 16 * WEEK_US + WEEK_US // 2
        assert (await log.look())["weeks"] == 14  # a week that is not over is not read
        log.clock.now_us = START + 17 * WEEK_US
        place = log.services.data / watch.DIRECTORY
        young = load(place, TASK)
        assert young.profile is not None
        older = replace(young.profile, week=young.profile.week - 60)
        watch.keep(place, replace(young, profile=older))
        found = await log.look(suspends=True)
        assert found["state"] == "alarm" and found["alarm"]["window"] == 3
        (alarm,) = log.recorded("drift_alarm")
        assert (alarm["task"], alarm["suspends"]) == (TASK, True)
        assert log.suspended == [(TASK, "drift_found")] and log.withdrawn == [TASK]
        await log.look(suspends=True)
        assert len(log.recorded("drift_alarm")) == len(log.suspended) == len(log.withdrawn) == 1
        text = at_rest.read(log.services.data / watch.DIRECTORY / f"{TASK}.json").decode()
        assert "hose" not in text and "hydraulics" not in text and "ENTIRELY" not in text


async def test_without_consent_no_text_is_read(tmp_path: Path) -> None:
    with logged(tmp_path) as log:
        for number in range(3):
            log.week(number)
        for n in range(30):
            (intent,) = log.asked(9, n, "x", key="evaluation").result()
            log.answered(9, n, intent.seq, 100_000, key="evaluation").result()
        log.clock.now_us = START + 3 * WEEK_US
        found = await log.look(agreed=False)
        assert found["weeks"] == 1 and log.recorded("content_read") == []
        (block,) = load(log.services.data / watch.DIRECTORY, TASK).blocks
        assert block.requests == 21 and block.values["confidence"] > 0.9  # an evaluation is no app
        assert {"unknown", "label 0"}.isdisjoint(found["statistics"])


@pytest.mark.slow  # seventeen weeks again
@pytest.mark.parametrize("suspends", [False, True])
async def test_without_the_setting_or_thirteen_months_an_alarm_is_all(
    tmp_path: Path, suspends: bool
) -> None:
    with logged(tmp_path) as log:
        for number in range(17):
            log.week(number, sure=200_000 if number >= 14 else 910_000)
        log.clock.now_us = START + 17 * WEEK_US
        found = await log.look(agreed=False, suspends=suspends)
        assert found["state"] == "alarm" and log.suspended == [] and log.withdrawn == []
        assert log.recorded("drift_alarm")[0]["suspends"] is False


def test_beginning_again_keeps_what_was(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        load(tmp_path, TASK)
    assert caught.value.code == "drift_missing"
    with pytest.raises(Refused):
        begin_again(tmp_path, TASK, START)
    keep(tmp_path, Watch(TASK, last_week=7))
    again = begin_again(tmp_path, TASK, START)
    assert (again.last_week, load(tmp_path, TASK)) == (3_000, again)
    assert (tmp_path / f"{TASK}.3000.before").exists()
    assert result(again).state == "learning"


@pytest.mark.parametrize("params", [{}, {"task": ""}, {"task": "../x"}, {"task": "a", "b": 1}])
def test_a_job_without_a_task_is_refused(tmp_path: Path, params: dict[str, Any]) -> None:
    kind = Watching(None)  # type: ignore[arg-type]
    with pytest.raises(Refused) as caught:
        kind.check(kind.read(json.dumps(params)))
    assert caught.value.code == "drift_missing"
    assert kind.title(WatchWanted("a")) == "a" and kind.key(WatchWanted("a")) == "drift a"
