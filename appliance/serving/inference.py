"""The use-case of an answer: authorise, prepare, record the intent, run, record the outcome.

Rules:
- An answer waits for the turn of its key after its intent is recorded, and leaves its place after
  its outcome is.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.admission.places import UNSTATED_ANSWER, Place, Shares
from appliance.auth.keys import KeyStore
from appliance.clock import Clock
from appliance.draws import drawn
from appliance.errors import BadRequest, NotFound
from appliance.serving.audit_entries import intent
from appliance.serving.backend import Backends, ModelBackend, PreparedRequest
from appliance.serving.generation import Admitted, Generation, StartedAnswer
from appliance.serving.recording import Recording
from appliance.serving.running_answers import LOOK_AT_KEYS_S, UnderWay
from appliance.types import Caller, GenerationRequest, ModelCard, Principal

SELFTEST = "selftest"
EVALUATION = "evaluation"
RETRIEVAL = "retrieval"
SHADOW = "shadow"
REPLAY = "replay"
OWN = frozenset({SELFTEST, EVALUATION, RETRIEVAL, SHADOW, REPLAY})
"""The key ids, of no keys, under which the appliance asks itself."""


@dataclass(frozen=True)
class InferenceParts:
    """The parts that use-cases of answers share.

    Attributes:
        buffered: hold answers back until their outcomes are durable.
        ended: called with each answer when it has ended.
        check_person: refuses an app without a verified person where the site demands one.
    """

    recording: Recording
    clock: Clock
    keys: KeyStore
    shares: Shares
    buffered: bool = False
    ended: Callable[[Generation], None] = lambda generation: None
    check_person: Callable[[Principal, str], None] = lambda app, model: None

    def live(self, key_id: str) -> bool:
        """True if a key may be used; the appliance itself always may."""
        return key_id in OWN or self.keys.is_live(key_id)


class Inference:
    """Answers for apps; `under_way` has by default those of this use-case only."""

    def __init__(
        self, backends: Backends, shared: InferenceParts, under_way: UnderWay | None = None
    ) -> None:
        self._backends, self._shared = backends, shared
        self.under_way = ways = under_way or UnderWay(shared.live)
        self.running, self.cancel = ways.running, ways.cancel
        self.watch_keys, self.drain = ways.watch_keys, ways.drain
        self._cancelling: set[asyncio.Task[None]] = set()

    @property
    def draining(self) -> bool:
        return self.under_way.draining

    def cards(self, principal: Principal) -> list[ModelCard]:
        """The models that an app may use: those in memory, and those that a request loads."""
        return [c for c in self._backends.cards() if principal.may_answer(c)]

    def slots(self, model: str) -> int:
        return self._backends.slots(model)

    def answers_without_models(self) -> bool:
        """True if there is a task that needs no model."""
        return any(card.form and not card.worker for card in self._backends.cards())

    async def start(self, caller: Caller, request: GenerationRequest) -> StartedAnswer:
        return await self.begin(caller, request)

    async def begin(
        self, caller: Caller, request: GenerationRequest, backends: Backends | None = None
    ) -> Generation:
        """Start a request; its intent is durable when this returns.

        Raises:
            NotFound: `model_not_found`, also when the key may not use the model.
            BadRequest: `wrong_model_kind`, or the worker's refusal.
            Overloaded: `queue_full`, `rate_limit_exceeded`.
        """
        backends = backends or self._backends
        card = self._check(caller, request, backends)
        seed = int.from_bytes(drawn(8)) >> 1 if request.seed is None else request.seed
        async with contextlib.AsyncExitStack() as stack:
            place = self._admit(caller, request, card, backends)
            stack.callback(place.leave, 0, 0)
            backend = await self._open(caller, card, place, backends)
            asked = replace(request, request_id=caller.request_id)
            prepared = await backend.prepare(asked, caller.principal, seed)
            stack.push_async_callback(backend.cancel, prepared)
            place.reserve(prepared.prompt_tokens, _answer_tokens(prepared))
            admitted = Admitted(caller, request, backend, prepared, place)
            beginning = asyncio.create_task(self._recorded(admitted, stack.pop_all()))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            # The intent may become durable all the same, and then it needs its outcome.
            beginning.add_done_callback(self._abandon)
            raise

    async def _recorded(self, admitted: Admitted, held: contextlib.AsyncExitStack) -> Generation:
        async with held:
            draft = intent(admitted.caller, admitted.prepared)
            shared = self._shared
            receipt = await shared.recording.append(draft)
            if admitted.prepared.first is not None:
                admitted.prepared.first.recorded = True
            created = shared.clock.wall_us() // 1_000_000
            generation = Generation(
                admitted, receipt, created, shared.recording, buffered=shared.buffered
            )
            held.pop_all()
        self.under_way.add(generation)
        generation.when_ended(self._ended)
        return generation

    def check_person(self, app: Principal, model: str) -> None:
        if app.key_id not in OWN:
            self._shared.check_person(app, model)

    def _check(self, caller: Caller, request: GenerationRequest, backends: Backends) -> ModelCard:
        """The model that is meant; refuse what can be refused without a place."""
        self.under_way.check()
        self._shared.recording.check()
        if not caller.principal.may_use(request.model):
            raise _unknown(request)
        self.check_person(caller.principal, request.model)
        target = backends.resolve(request.model, caller.principal.key_id)
        card = backends.card(target)
        named = card if card.id == request.model else replace(card, id=request.model)
        if not caller.principal.may_answer(named):
            raise _unknown(request)
        self.check_person(caller.principal, target)
        _check_kind(card, request)
        return card

    def _admit(
        self, caller: Caller, request: GenerationRequest, card: ModelCard, backends: Backends
    ) -> Place:
        return self._shared.shares.admit(
            caller.principal,
            card.engine,
            backends.slots(card.id),
            request.priority,
            choices=request.choices,
            sets_aside=card.computed_here,
        )

    async def _open(
        self, caller: Caller, card: ModelCard, place: Place, backends: Backends
    ) -> ModelBackend:
        begun = time.monotonic()
        backend = await backends.open(card.id, caller.principal.key_id, place)
        self._check_still(caller, begun)
        return backend

    def _check_still(self, caller: Caller, begun: float) -> None:
        """Check again after the model was loaded."""
        if time.monotonic() - begun >= LOOK_AT_KEYS_S:
            self.under_way.check()
            self.under_way.check_key(caller.principal.key_id)

    def _ended(self, generation: Generation) -> None:
        key_id = generation.caller.principal.key_id
        self._shared.keys.note_usage(key_id, generation.prompt_tokens, generation.completion_tokens)
        self._shared.ended(generation)

    def _abandon(self, beginning: "asyncio.Task[Generation]") -> None:
        if not beginning.cancelled() and beginning.exception() is None:
            cancelling = asyncio.create_task(beginning.result().cancel())
            self._cancelling.add(cancelling)
            cancelling.add_done_callback(self._cancelling.discard)


def _answer_tokens(prepared: PreparedRequest) -> int:
    """Tokens reserved for the answer; a longer one is settled at its end."""
    most = prepared.max_tokens
    if prepared.request.max_tokens is None:
        most = min(most, UNSTATED_ANSWER)
    return most * prepared.choices


def _unknown(request: GenerationRequest) -> NotFound:
    what = f"The model {request.model!r} does not exist."
    return NotFound("model_not_found", what, param="model")


def _check_kind(card: ModelCard, request: GenerationRequest) -> None:
    if request.task.distribution and card.form != "labels":
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
