"""The backend over a real worker: what it says of itself, and how its rows become pieces."""

from dataclasses import replace

import pytest

from appliance.app import Services
from appliance.engine.protocol import Row
from appliance.errors import BadRequest, Unavailable
from appliance.serving.local_worker import LocalWorker, LocalWorkers
from appliance.types import Constraint, Delta, GenerationRequest, Principal
from tests.smol import ID, request

pytestmark = pytest.mark.asyncio(loop_scope="module")
APP = Principal("k1", "app")


@pytest.fixture
def ready(shared: Services) -> Services:
    """The model is loaded once for all of them."""
    return shared


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
