"""What answers a request is exchangeable: quotas, records and cancellation hold for any backend."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from appliance.admission.places import Place, Shares
from appliance.app import Services
from appliance.errors import ApplianceError, BadRequest, Overloaded, Unavailable, WorkerLost
from appliance.observability.unexpected import alarms
from appliance.serving.backend import Backends, ModelBackend, PreparedRequest, Provenance
from appliance.serving.inference import Inference, InferenceParts
from appliance.serving.recording import Recording
from appliance.types import Delta, GenerationRequest, ModelCard, Principal
from appliance.workers.coverage import Obstacle
from tests.answers import body, collect, outcome_of
from tests.smol import caller, request

CARD = ModelCard("far", "ab" * 32, 4096, 0)
PIECES = (Delta("Par", 1, cached=3), Delta("is", 1, "stop", cached=3))


@dataclass
class Scripted:
    """A backend without a process; its answer has `pieces`, of which an error ends it, and waits
    after the first one to `hold`.
    """

    pieces: tuple[Delta | BaseException, ...] = PIECES
    refusal: ApplianceError | None = None
    hold: bool = False
    card: ModelCard = CARD
    ran: list[int] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        """Three tokens, whatever is asked."""
        if self.refusal:
            raise self.refusal
        origin = Provenance("far", CARD.digest, 7, "upstream far.example", Obstacle.UPSTREAM)
        return PreparedRequest(request, 1, seed, 3, request.max_tokens or 100, origin)

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        self.ran.append(prepared.number)
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
            if self.hold:
                await self.cancelled.wait()
                yield Delta("", 0, "cancelled")
                return

    async def cancel(self, prepared: PreparedRequest) -> None:
        self.cancelled.set()


@dataclass
class One:
    backend: ModelBackend

    def cards(self) -> list[ModelCard]:
        return [self.backend.card]

    def card(self, model_id: str) -> ModelCard:
        return self.backend.card

    def resolve(self, model_id: str, app: str) -> str:
        return model_id

    def slots(self, model_id: str) -> int:
        return 2

    async def open(self, model_id: str, key_id: str, place: Place) -> ModelBackend:
        place.enter()
        return self.backend


def inference(services: Services, backend: Scripted, *, shares: Shares | None = None) -> Inference:
    backends: Backends = One(backend)
    recording = Recording(services.audit, services.metrics)
    shares = shares or Shares(2, 2)
    shared = InferenceParts(recording, services.clock, services.keys, shares)
    return Inference(backends, shared)


def asked(**fields: Any) -> GenerationRequest:
    return replace(request(**fields), model="far")


async def test_an_answer_of_another_backend_is_recorded_like_any(services: Services) -> None:
    generation = await inference(services, Scripted()).begin(caller(), asked(seed=5))
    intent = body(services, generation.intent.seq)
    assert (intent["model"], intent["digest"]) == ("far", CARD.digest)
    assert (intent["engine"], intent["policy"]) == ("upstream far.example", 7)
    assert await collect(generation) == ("Paris", "stop")
    assert (generation.completion_tokens, generation.cached_tokens) == (2, 3)
    outcome = outcome_of(services, generation.intent.seq)
    assert outcome is not None and (outcome["status"], outcome["finish"]) == ("ok", "stop")


async def test_an_answer_without_its_mirror_does_not_end_and_has_one_outcome(
    services: Services,
) -> None:
    asked_for: list[int] = []

    async def silent(seq: int) -> None:
        asked_for.append(seq)
        raise Unavailable("mirror_unavailable", "Nobody has it.")

    use = inference(services, Scripted())
    use._shared.recording.hold_for(silent)
    generation = await use.begin(caller(), asked())
    pieces = []
    with pytest.raises(Unavailable) as caught:
        async for piece in generation:
            pieces.append(piece)
    assert caught.value.code == "mirror_unavailable"
    assert all(piece.finish_reason is None for piece in pieces)
    await generation.finished()
    outcome = outcome_of(services, generation.intent.seq)
    assert outcome is not None and outcome["status"] == "ok" and outcome["seq"] in asked_for


async def test_nothing_runs_before_the_intent_and_a_refusal_holds_nothing(
    services: Services,
) -> None:
    shares = Shares(2, 2)
    backend = Scripted(refusal=BadRequest("context_length_exceeded", "too long"))
    size = services.audit.size
    for _ in range(5):
        with pytest.raises(BadRequest):
            await inference(services, backend, shares=shares).begin(caller(), asked())
    assert services.audit.size == size and backend.ran == [] and shares.inside("far") == 0
    assert not backend.cancelled.is_set()  # nothing was prepared


async def test_what_a_quota_refuses_is_cancelled_at_the_backend(services: Services) -> None:
    backend, shares, who = Scripted(), Shares(2, 2), caller()
    limits = replace(who.principal.limits, tpm=20)
    who = replace(who, principal=replace(who.principal, limits=limits))
    await collect(await inference(services, backend, shares=shares).begin(who, asked(max_tokens=9)))
    assert not backend.cancelled.is_set()
    with pytest.raises(Overloaded):
        await inference(services, backend, shares=shares).begin(who, asked(max_tokens=17))
    assert backend.cancelled.is_set() and backend.ran == [1] and shares.inside("far") == 0


async def test_a_backend_that_is_lost_ends_the_answer_with_its_code(services: Services) -> None:
    backend = Scripted((PIECES[0], WorkerLost("worker_lost", "gone")))
    generation = await inference(services, backend).begin(caller(), asked())
    with pytest.raises(WorkerLost):
        await collect(generation)
    outcome = outcome_of(services, generation.intent.seq)
    assert outcome is not None and (outcome["status"], outcome["finish"]) == (
        "error", "worker_lost",
    )  # fmt: skip


async def test_a_client_that_leaves_cancels_at_the_backend(services: Services) -> None:
    backend = Scripted(hold=True)
    generation = await inference(services, backend).begin(caller(), asked())
    with contextlib.suppress(StopAsyncIteration):
        await anext(aiter(generation))
    await generation.cancel()
    await generation.finished()
    assert backend.cancelled.is_set()
    outcome = outcome_of(services, generation.intent.seq)
    assert outcome is not None and outcome["status"] == "cancelled"


FIRST = PIECES[0]
NOBODY_EXPECTS = {
    "an error of another kind": (FIRST, TypeError("unhashable type: 'list'")),
    "an error before the first piece": (OverflowError("int too large"),),
    "a cancellation of its own": (FIRST, asyncio.CancelledError()),
    "an end without a finish reason": (FIRST,),
    "nothing at all": (),
    "a piece of a choice that was not asked for": (FIRST, Delta("", 0, "stop", 7)),
    "a code without a cause": (FIRST, ApplianceError("internal_error", "It is broken.")),
}


@pytest.mark.parametrize("case", NOBODY_EXPECTS)
async def test_whatever_a_backend_raises_ends_the_answer(services: Services, case: str) -> None:
    """With an outcome, a count that an alarm reads, and an error for whoever waits."""
    backend, shares = Scripted(NOBODY_EXPECTS[case]), Shares(1, 1)
    for number in (1, 2):  # the second has the place of the first
        generation = await inference(services, backend, shares=shares).begin(caller(), asked())
        with pytest.raises(ApplianceError) as caught:
            await asyncio.wait_for(collect(generation), 10)
        assert caught.value.code == "internal_error"
        await asyncio.wait_for(generation.finished(), 10)
        outcome = outcome_of(services, generation.intent.seq)
        assert outcome is not None
        assert (outcome["status"], outcome["finish"]) == ("error", "internal_error")
        assert alarms(services.metrics)[0].startswith(str(number))
    assert backend.cancelled.is_set()


async def test_an_outcome_that_cannot_be_written_for_any_reason(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = await inference(services, Scripted(hold=True)).begin(caller(), asked())

    async def fails(*_: object) -> None:
        raise KeyError("status")

    monkeypatch.setattr(Recording, "append", fails)
    await generation.cancel()
    with pytest.raises(ApplianceError) as caught:
        await asyncio.wait_for(collect(generation), 10)
    assert caught.value.code == "internal_error"
    await asyncio.wait_for(generation.finished(), 10)
