"""The backend over a real worker: what it says of itself, and how its rows become pieces."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from appliance.app import Services
from appliance.engine.protocol import Prepare, Prepared, Row
from appliance.errors import BadRequest, Unavailable
from appliance.serving.local_worker import LocalWorker, LocalWorkers
from appliance.trust.artifacts.store import VerifiedAdapter, VerifiedModel
from appliance.types import (
    Constraint,
    Delta,
    GenerationRequest,
    Limits,
    ModelCard,
    Principal,
    TaskNeeds,
)
from appliance.workers.process import WorkerProcess
from tests.smol import ID, request

pytestmark = pytest.mark.asyncio(loop_scope="module")
APP = Principal("k1", "app")


@pytest.fixture
def ready(shared: Services) -> Services:
    return shared


class RecordedWorker:
    def __init__(self) -> None:
        self.sent: list[tuple[Prepare, str]] = []

    def next_id(self, choices: int) -> int:
        return 7 * choices

    async def prepare(self, message: Prepare, key_id: str) -> Prepared:
        self.sent.append((message, key_id))
        return Prepared(message.id, 1, 1, "")


@pytest.mark.parametrize("adapter", ["", "ad"])
async def test_the_worker_is_sent_who_asks_and_what_may_be_reused(adapter: str) -> None:
    """Scope and readable documents keep what one app computed from another."""
    worker, facts = RecordedWorker(), SimpleNamespace(id=ID, digest="d", policy_version=1)
    facts.grammars = ()
    backend = LocalWorker(
        card=cast(ModelCard, None),
        model=cast(VerifiedModel, facts),
        worker=cast(WorkerProcess, worker),
        engine="e",
        obstacle=None,
        adapter=cast(VerifiedAdapter, SimpleNamespace(id="a", digest="ad")) if adapter else None,
    )
    asked = replace(request(n=2), task=TaskNeeds(readable="docs"))
    asker = Principal("k2", "app", limits=Limits(weight=3))
    prepared = await backend.prepare(asked, asker, seed=11)
    sent = Prepare(id=14, asked=asked, seed=11, scope="k2", weight=3, adapter=adapter)
    assert worker.sent == [(sent, "k2")] and sent.asked.task.readable == "docs"
    assert (prepared.number, prepared.seed, prepared.provenance.adapter) == (
        14,
        11,
        adapter or None,
    )


async def opened(services: Services) -> LocalWorker:
    place = services.shares.admit(APP, ID, 2)
    try:
        return await LocalWorkers(services.pool, services.supervisor).open(ID, "k1", place)
    finally:
        place.leave(0, 0)


async def test_it_prepares_and_runs_and_names_what_answers(ready: Services) -> None:
    backend = await opened(ready)
    prepared = await backend.prepare(request(max_tokens=3), APP, seed=9)
    said, model = prepared.provenance, ready.supervisor.served()[0]
    assert (said.model, said.digest, said.adapter) == (ID, model.digest, None)
    assert said.engine == ready.supervisor.engine_for(ID) and said.policy == 1
    assert (prepared.prompt_tokens, prepared.max_tokens, prepared.seed) == (5, 3, 9)
    pieces = [piece async for piece in backend.run(prepared)]
    assert sum(piece.tokens for piece in pieces) == 3
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["length"]


async def test_all_choices_come_together_under_their_numbers(ready: Services) -> None:
    backend = await opened(ready)
    prepared = await backend.prepare(request(max_tokens=2, n=2), APP, seed=1)
    pieces = [piece async for piece in backend.run(prepared)]
    ended = [piece.index for piece in pieces if piece.finish_reason]
    assert sorted(ended) == [0, 1] and prepared.choices == 2


async def test_a_prepared_request_that_is_cancelled_never_runs(ready: Services) -> None:
    backend = await opened(ready)
    prepared = await backend.prepare(request(), APP, seed=1)
    await backend.cancel(prepared)
    await backend.cancel(prepared)
    with pytest.raises(BadRequest):
        await backend.prepare(request("word " * 600), APP, seed=1)
    (status,) = ready.supervisor.status()
    assert (status.running, status.queued) == (0, 0)


@pytest.mark.parametrize(
    ("finish", "constrained", "code"),
    [
        ("invalid", False, "output_invalid"),
        ("invalid", True, "output_invalid"),
        ("detached", False, "adapter_unloaded"),
    ],
)
async def test_a_row_that_cannot_be_answered_is_an_error_and_its_tokens_count(
    ready: Services,
    monkeypatch: pytest.MonkeyPatch,
    finish: str,
    constrained: bool,
    code: str,
) -> None:
    backend = await opened(ready)
    asked: GenerationRequest = request(max_tokens=8)
    prepared = await backend.prepare(asked, APP, seed=1)
    if constrained:
        prepared = replace(prepared, request=replace(asked, constraint=Constraint("regex", "a")))
    run = backend.worker.run

    async def spoilt(number: int, choices: int) -> object:
        rows = await run(number, choices)
        rows.put_nowait(Row(number, "never sent", 1, finish))  # type: ignore[arg-type]
        return rows

    monkeypatch.setattr(backend.worker, "run", spoilt)
    pieces: list[Delta] = []
    with pytest.raises((BadRequest, Unavailable)) as caught:
        async for piece in backend.run(prepared):
            pieces.append(piece)
    assert caught.value.code == code
    assert (caught.value.param == "response_format") is constrained
    assert "never sent" not in [piece.text for piece in pieces] and pieces[-1].tokens == 1
