"""Running streams keep their pace while models change on a slow disk.

No test measures time: an entry about a model, or a write to `appliance.db`, becomes durable only
after the stream has moved on by some pieces.
"""

import asyncio
import concurrent.futures
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, open_services
from appliance.audit.log import Draft
from appliance.registry.audit_entries import Edges
from appliance.serving.generation import StartedAnswer
from appliance.trust.artifacts.records import Records
from appliance.trust.artifacts.store import load_policy
from appliance.trust.statements import approval
from tests.several import ask, config, make_models
from tests.smol import APPROVERS, caller, key, until

ACTOR = "uid:4711"
PIECES = 3
STUCK_S = 20.0
"""After this long, a disk that waits for a stream that stands still gives up."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Path:
    files = dict.fromkeys(("one", "two"), narrow_path)
    return make_models(tmp_path_factory.mktemp("slow-disk"), files)


class Stream:
    """A running answer, read all the time; it counts its pieces."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self.pieces = 0

    async def read(self, generation: StartedAnswer) -> None:
        async for _ in generation:
            with self._moved:
                self.pieces += 1
                self._moved.notify_all()

    def moves_on(self) -> bool:
        with self._moved:
            end = self.pieces + PIECES
            return self._moved.wait_for(lambda: self.pieces >= end, STUCK_S)


class SlowDisk:
    """A log and a database that are durable only after the stream has moved on."""

    def __init__(self, services: Services, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: list[str] = []
        self.stuck: list[str] = []
        self._stream = stream
        append, set_state = services.audit.append, services.store.inventory.set_state
        add_approval = Records.add_approval

        def slow_append(*drafts: Draft) -> Any:
            if drafts[0].kind != "model":
                return append(*drafts)
            what = f"{drafts[0].fields['event']} {drafts[0].fields['state']}"
            outer: concurrent.futures.Future[Any] = concurrent.futures.Future()

            def later() -> None:
                self._hold(what)
                outer.set_result(append(*drafts).result())

            threading.Thread(target=later).start()
            return outer

        def slow_set_state(model_id: str, state: str, **more: Any) -> Any:
            self._hold(f"database {state}")
            return set_state(model_id, state, **more)

        def slow_add_approval(
            records: Records, model_id: str, key: str, envelope: bytes, state: str | None
        ) -> None:
            self._hold(f"database {state or 'unchanged'}")
            add_approval(records, model_id, key, envelope, state)

        monkeypatch.setattr(services.audit, "append", slow_append)
        monkeypatch.setattr(services.store.inventory, "set_state", slow_set_state)
        monkeypatch.setattr(Records, "add_approval", slow_add_approval)

    def _hold(self, what: str) -> None:
        self.held.append(what)
        if not self._stream.moves_on():
            self.stuck.append(what)


@pytest.fixture
async def beside(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Services, SlowDisk]]:
    """Model "one" answers without end; the disk is slow for models."""
    shutil.copytree(two, tmp_path / "copy")
    with open_services(tmp_path / "copy", config=config()) as services:
        await services.pool.load(ACTOR, "one")
        stream = Stream()

        async def answer_for_ever() -> None:
            while True:
                asked = ask("one", max_tokens=300)
                await stream.read(await services.inference.start(caller(), asked))

        answering = asyncio.create_task(answer_for_ever())
        await until(lambda: stream.pieces)
        with monkeypatch.context() as patched:
            yield services, SlowDisk(services, stream, patched)
        answering.cancel()
        await services.pool.close()
        await services.inference.drain(0)
        await services.supervisor.close()


def approvals(services: Services, model_id: str) -> Iterator[bytes]:
    for name in APPROVERS:
        yield approval.sign(
            services.lifecycle.subject(model_id),
            name=name,
            meaning="fit for use",
            time_us=services.clock.wall_us(),
            private_key=key(services.data, name),
        )


async def test_a_stream_moves_on_while_a_model_is_loaded_suspended_and_approved(
    beside: tuple[Services, SlowDisk],
) -> None:
    services, disk = beside
    assert (await services.pool.load(ACTOR, "two")).state == "serving"
    assert disk.held == ["state staged", "state serving"]
    assert (await services.pool.suspend(ACTOR, "two", "odd")).state == "suspended"
    assert disk.held[2:] == ["state suspended", "database suspended"]
    states = [
        (await services.pool.approve(ACTOR, "two", envelope)).state
        for envelope in approvals(services, "two")
    ]
    assert states == ["suspended", "approved"]
    assert disk.held[4:] == [
        "approval suspended", "database unchanged", "approval approved", "database approved",
    ]  # fmt: skip
    assert disk.stuck == []


async def test_changes_of_one_model_never_interleave(beside: tuple[Services, SlowDisk]) -> None:
    """The lock of the model orders its changes."""
    services, disk = beside
    await services.pool.load(ACTOR, "two")
    seen = len(disk.held)
    done = await asyncio.gather(
        services.pool.suspend(ACTOR, "two", "first"),
        services.pool.suspend(ACTOR, "two", "second"),
        services.pool.retire(ACTOR, "two"),
        return_exceptions=True,
    )
    assert [getattr(result, "state", None) for result in done] == ["suspended", None, "retired"]
    assert disk.held[seen:] == [
        "state suspended", "database suspended", "state retired", "database retired",
    ]  # fmt: skip
    assert services.supervisor.status()[0].model == "one" and disk.stuck == []


async def test_control_an_entry_that_blocks_the_loop_stops_the_stream(
    beside: tuple[Services, SlowDisk], monkeypatch: pytest.MonkeyPatch
) -> None:
    services, disk = beside
    monkeypatch.setattr(sys.modules[__name__], "STUCK_S", 1.0)
    record, policy = services.store.inventory.record("two"), load_policy(services.data / "trust")
    blocking: Callable[..., None] = Edges(services.audit).record
    blocking(ACTOR, record, "approved", policy)
    assert disk.stuck == ["state approved"]
