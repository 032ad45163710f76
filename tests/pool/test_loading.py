"""Loads and evictions under way, on a lifecycle that does what the test says."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from appliance.errors import ApplianceError, AuditUnavailable, StateRefused, Unavailable
from appliance.pool.loading import Loads
from appliance.registry.importing import Progress
from appliance.registry.lifecycle import Lifecycle
from appliance.trust.store import ModelRecord

Failure = ApplianceError | None


class Script:
    """A lifecycle that reports once, waits for the test, and fails if told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.failure: Failure = None
        self.report: Callable[[], None] = lambda: None
        self.unloads: list[tuple[str, str]] = []

    async def load(
        self, _actor: str, model_id: str, progress: Progress, *, reason: str
    ) -> ModelRecord:
        self.report = lambda: progress("sealing", 1, 2)
        self.report()
        await self.go.wait()
        if self.failure:
            raise self.failure
        return ModelRecord(model_id, "serving", message=reason)

    async def unload(self, _actor: str, model_id: str, *, event: str, reason: str) -> None:
        self.unloads.append((event, model_id))
        if self.failure:
            raise self.failure


def make(wanted: bool = False) -> tuple[Script, Loads, list[tuple[str, str, Failure]]]:
    script, ended = Script(), []
    loads = Loads(cast(Lifecycle, script), lambda *told: ended.append(told), lambda _model: wanted)
    return script, loads, ended


async def test_a_load_keeps_its_newest_report_and_tells_its_end() -> None:
    script, loads, ended = make()
    loads.begin("m", "uid:0", "by hand", 7)
    await asyncio.sleep(0)
    assert loads.changing("m") and not loads.changing("other")
    assert (loads.loading["m"].phase, loads.loading["m"].done) == ("sealing", 1)
    seen: list[tuple[str, int, int]] = []
    watching = asyncio.create_task(loads.outcome("m", lambda *step: seen.append(step)))
    await asyncio.sleep(0)
    script.report()
    script.go.set()
    assert (await watching).message == "by hand" and seen == [("sealing", 1, 2)]
    assert ended == [("m", "by hand", None)] and not loads.changing("m")
    assert loads.took["m"] >= 0


async def test_a_failed_load_is_told_to_who_watches_and_who_decides() -> None:
    script, loads, ended = make()
    script.failure = StateRefused("insufficient_memory", "no room")
    loads.begin("m", "appliance", "on demand", 7)
    script.go.set()
    with pytest.raises(StateRefused):
        await loads.outcome("m")
    assert ended == [("m", "on demand", script.failure)] and "m" not in loads.took


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_load_that_nobody_watches_goes_on_only_while_requests_wait(wanted: bool) -> None:
    script, loads, _ = make(wanted)

    def gone(_phase: str, _done: int, _total: int) -> None:
        raise Unavailable("interrupted", "It went away.")

    loads.begin("m", "uid:0", "by hand", 7)
    await asyncio.sleep(0)
    loads.loading["m"].watchers.append(gone)
    if wanted:
        script.report()
    else:
        with pytest.raises(Unavailable):
            script.report()
    script.go.set()
    await loads.outcome("m")


async def test_an_eviction_keeps_its_reason_unless_somebody_else_was_first() -> None:
    script, loads, ended = make()
    await loads.end("m", "idle")
    assert script.unloads == [("evict", "m")] and loads.unloaded["m"] == "idle"
    script.failure = StateRefused("wrong_state", "gone already")
    await loads.end("n", "idle")
    assert "n" not in loads.unloaded and [told[0] for told in ended] == ["m", "n"]


async def test_an_eviction_without_a_record_waits_before_it_is_tried_again() -> None:
    script, loads, ended = make()
    script.failure = AuditUnavailable("audit_unavailable", "no space")
    task = loads.end("m", "idle")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done() and loads.end("m", "again") is task
    await task
    assert "m" not in loads.unloaded and ended == [("m", "idle", None)]


async def test_closing_gives_loads_up_and_a_thread_that_reports_learns_it() -> None:
    script, loads, _ = make()
    loads.begin("m", "uid:0", "by hand", 7)
    await asyncio.sleep(0)
    await loads.close()
    assert not loads.changing("m")
    with pytest.raises(Unavailable) as caught:
        script.report()
    assert caught.value.code == "shutting_down"
