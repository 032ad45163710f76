"""The use-case of an answer: authorise, prepare, record the intent, run, record the outcome.

Rules:
- The intent is durable before the model runs, so no byte of an answer exists without it.
- Every intent gets exactly one outcome, also when its client has gone meanwhile; `generation.py`
  records it.
- If the log cannot be written there is no answer.
- An answer waits for the turn of its key after its intent is recorded, and leaves its place
  after its outcome is. When its key is revoked or expires, it ends with an error.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from appliance.admission.places import UNSTATED_ANSWER, Place, Shares
from appliance.auth.keys import KeyStore
from appliance.clock import Clock
from appliance.errors import (
    ApplianceError,
    BadRequest,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from appliance.serving.audit_entries import intent
from appliance.serving.backend import Backend, Backends, PreparedRequest
from appliance.serving.generation import Admitted, Generation
from appliance.serving.recording import Recording
from appliance.types import Caller, GenerationRequest, ModelCard, Principal

_LOOK_AT_KEYS_S = 0.25
_RECORDS_S = 10.0
SELFTEST = "selftest"
EVALUATION = "evaluation"
RETRIEVAL = "retrieval"
SHADOW = "shadow"
OWN = frozenset({SELFTEST, EVALUATION, RETRIEVAL, SHADOW})
"""The key ids, of no keys, under which the appliance asks itself."""


class Inference:
    """Answers for apps.

    Args:
        backends: what answers, by model.
        recording: where intents and outcomes go.
        clock: wall time of what is recorded.
        keys: which keys are live, and where usage is counted.
        shares: quotas and turns.
        buffered: hold answers back until their outcomes are durable.
        ended: called with each answer when it has ended.
    """

    def __init__(
        self,
        backends: Backends,
        recording: Recording,
        clock: Clock,
        keys: KeyStore,
        shares: Shares,
        *,
        buffered: bool = False,
        ended: Callable[[Generation], None] = lambda generation: None,
    ) -> None:
        self._note_ended = ended
        self._backends = backends
        self._recording = recording
        self._clock = clock
        self._keys = keys
        self._shares = shares
        self._buffered = buffered
        self.draining = False
        self._running: set[Generation] = set()
        self._cancelling: set[asyncio.Task[None]] = set()

    def cards(self, principal: Principal) -> list[ModelCard]:
        """The models that an app may use: those in memory, and those that a request loads."""
        return [c for c in self._backends.cards() if principal.may_answer(c)]

    def answers_without_models(self) -> bool:
        """Whether there is a task that needs no model."""
        return any(card.form and not card.worker for card in self._backends.cards())

    def running(self) -> list[Generation]:
        """The answers under way, those that wait for their turn among them."""
        return list(self._running)

    async def cancel(self, request_id: str, why: ApplianceError) -> bool:
        """End an answer, telling the client why; False when there is none of this id."""
        found = [g for g in self._running if g.caller.request_id == request_id]
        for generation in found:
            await generation.cancel(why)
        return bool(found)

    async def watch_keys(self) -> None:
        """End the answers of keys that are revoked or expire, within half a second; for ever."""
        while True:
            for generation in self.running():
                key_id = generation.caller.principal.key_id
                if key_id not in OWN and not self._keys.is_live(key_id):
                    await generation.cancel(
                        Unauthenticated("invalid_api_key", "The API key was revoked or expired.")
                    )
            await asyncio.sleep(_LOOK_AT_KEYS_S)

    async def start(
        self, caller: Caller, request: GenerationRequest, backends: Backends | None = None
    ) -> Generation:
        """Check, prepare and record a request, and start it.

        Args:
            backends: what answers, in place of the usual.

        Returns:
            A generation whose intent is durable.

        Raises:
            NotFound: `model_not_found`, also when the key may not use the model.
            BadRequest: `wrong_model_kind`, or what the worker refuses, `context_length_exceeded`
                among it.
            Overloaded: `queue_full`, `rate_limit_exceeded`, `key_quarantined`.
            AuditUnavailable: the log cannot be written.
            Unavailable: the model is not ready, or cannot be loaded.
        """
        backends = backends or self._backends
        card = self._check(caller, request, backends)
        seed = secrets.randbits(63) if request.seed is None else request.seed
        async with contextlib.AsyncExitStack() as stack:
            place = self._admit(caller, request, card, backends)
            stack.callback(place.leave, 0, 0)
            backend = await self._open(caller, card, place, backends)
            asked = replace(request, request_id=caller.request_id)
            prepared = await backend.prepare(asked, caller.principal, seed)
            stack.push_async_callback(backend.cancel, prepared)
            place.reserve(prepared.prompt_tokens, _answer_tokens(prepared))
            admitted = Admitted(caller, request, backend, prepared, place)
            beginning = asyncio.create_task(self._begin(admitted, stack.pop_all()))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            # The intent may become durable all the same, and then it needs its outcome.
            beginning.add_done_callback(self._abandon)
            raise

    async def _begin(self, admitted: Admitted, held: contextlib.AsyncExitStack) -> Generation:
        """Record the intent and start the answer, which takes over what is held for it."""
        async with held:
            draft = intent(admitted.caller, admitted.prepared)
            receipt = await self._recording.append(draft)
            created = self._clock.wall_us() // 1_000_000
            generation = Generation(
                admitted, receipt, created, self._recording, buffered=self._buffered
            )
            held.pop_all()
        self._running.add(generation)
        generation.when_ended(self._ended)
        return generation

    def _check(self, caller: Caller, request: GenerationRequest, backends: Backends) -> ModelCard:
        """Refuse what needs no place to be refused; the model that is meant."""
        if self.draining:
            raise Unavailable("shutting_down", "The server is stopping.")
        self._recording.check()
        if not caller.principal.may_use(request.model):
            raise _unknown(request)
        target = backends.resolve(request.model, caller.principal.key_id)
        card = backends.card(target)
        if not caller.principal.may_answer(replace(card, id=request.model)):
            raise _unknown(request)
        _check_kind(card, request)
        return card

    def _admit(
        self, caller: Caller, request: GenerationRequest, card: ModelCard, backends: Backends
    ) -> Place:
        slots = backends.slots(card.id)
        return self._shares.admit(
            caller.principal, card.engine, slots, request.priority, choices=request.choices
        )

    async def _open(
        self, caller: Caller, card: ModelCard, place: Place, backends: Backends
    ) -> Backend:
        begun = time.monotonic()
        backend = await backends.open(card.id, caller.principal.key_id, place)
        self._check_still(caller, begun)
        return backend

    def _check_still(self, caller: Caller, begun: float) -> None:
        """Check again what may have changed while the model was loading."""
        if time.monotonic() - begun < _LOOK_AT_KEYS_S:
            return
        if self.draining:
            raise Unavailable("shutting_down", "The server is stopping.")
        key_id = caller.principal.key_id
        if key_id not in OWN and not self._keys.is_live(key_id):
            raise Unauthenticated("invalid_api_key", "The API key was revoked or expired.")

    def _ended(self, generation: Generation) -> None:
        self._running.discard(generation)
        key_id = generation.caller.principal.key_id
        self._keys.note_usage(key_id, generation.prompt_tokens, generation.completion_tokens)
        self._note_ended(generation)

    def _abandon(self, beginning: "asyncio.Task[Generation]") -> None:
        """Cancel what began after its client had gone."""
        if not beginning.cancelled() and beginning.exception() is None:
            cancelling = asyncio.create_task(beginning.result().cancel())
            self._cancelling.add(cancelling)
            cancelling.add_done_callback(self._cancelling.discard)

    async def drain(self, seconds: float) -> None:
        """Take nothing new, wait for running answers, cancel what is left, wait for the records."""
        self.draining = True
        await self._all_ended(seconds)
        why = Unavailable("shutting_down", "The server is stopping.")
        # Side by side: a worker that reads nothing must not hold up the others.
        ending = [asyncio.create_task(g.cancel(why)) for g in self.running()]
        await self._all_ended(_RECORDS_S)
        for task in ending:
            task.cancel()

    async def _all_ended(self, seconds: float) -> None:
        """Wait until no answer is under way, those among them that begin meanwhile; or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while running := self.running():
                    await asyncio.gather(*(generation.finished() for generation in running))
                    await asyncio.sleep(0)


def _answer_tokens(prepared: PreparedRequest) -> int:
    """What is reserved for the answer; what comes out longer is settled at its end."""
    most = prepared.max_tokens
    if prepared.request.max_tokens is None:
        most = min(most, UNSTATED_ANSWER)
    return most * prepared.choices


def _unknown(request: GenerationRequest) -> NotFound:
    what = f"The model {request.model!r} does not exist."
    return NotFound("model_not_found", what, param="model")


def _check_kind(card: ModelCard, request: GenerationRequest) -> None:
    if request.distribution and card.form != "labels":
        raise BadRequest(
            "wrong_model_kind",
            f"{card.id!r} has no labels to sort texts into; name a task whose form is labels.",
            param="model",
        )
    does = {"generate": "writes text", "embed": "makes embeddings", "rerank": "reranks documents"}
    if card.kind != request.kind:
        raise BadRequest(
            "wrong_model_kind",
            f"The model {card.id!r} {does[card.kind]}; it does nothing else.",
            param="model",
        )
