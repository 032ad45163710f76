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
from dataclasses import replace

from appliance.admission.places import UNSTATED_ANSWER, Shares
from appliance.audit.appending import append
from appliance.audit.log import AuditLog
from appliance.auth.keys import KeyStore
from appliance.clock import Clock
from appliance.engine.protocol import Prepare, Prepared
from appliance.engine.text.reply import ReplyForm
from appliance.errors import (
    ApplianceError,
    AuditUnavailable,
    BadRequest,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from appliance.observability.metrics import Metrics
from appliance.pool.pool import Residents
from appliance.serving.audit_entries import intent
from appliance.serving.choices import ranked
from appliance.serving.generation import Generation
from appliance.trust.store import VerifiedAdapter
from appliance.types import (
    Caller,
    GenerationRequest,
    ModelCard,
    Principal,
)
from appliance.workers.supervisor import Supervisor

_LOOK_AT_KEYS_S = 0.25
_RECORDS_S = 10.0
SELFTEST = "selftest"
"""The key id, of no key, under which the appliance asks itself."""


class Inference:
    """Answers for apps.

    Args:
        supervisor: where the models are.
        residents: loads models that are not there.
        audit: the log.
        clock: wall time of what is recorded.
        keys: which keys may go on, and where usage is counted.
        shares: quotas and turns.
        metrics: where answers are counted.
        buffered: hold answers back until their outcomes are durable.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        residents: Residents,
        audit: AuditLog,
        clock: Clock,
        keys: KeyStore,
        shares: Shares,
        metrics: Metrics,
        *,
        buffered: bool = False,
    ) -> None:
        self._buffered = buffered
        self._supervisor = supervisor
        self._residents = residents
        self._audit = audit
        self._clock = clock
        self._keys = keys
        self._shares = shares
        self._metrics = metrics
        self.draining = False
        self._running: set[Generation] = set()
        self._cancelling: set[asyncio.Task[None]] = set()

    def cards(self, principal: Principal) -> list[ModelCard]:
        """The models that an app may use: those in memory, and those that a request loads."""
        return [c for c in self._residents.cards() if principal.may_use(c.id)]

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
                if key_id != SELFTEST and not self._keys.is_live(key_id):
                    await generation.cancel(
                        Unauthenticated("invalid_api_key", "The API key was revoked or expired.")
                    )
            await asyncio.sleep(_LOOK_AT_KEYS_S)

    async def start(self, caller: Caller, request: GenerationRequest) -> Generation:
        """Check, prepare and record a request, and start it.

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
        if self.draining:
            raise Unavailable("shutting_down", "The server is stopping.")
        if self._audit.latched:
            raise AuditUnavailable("audit_unavailable", self._audit.latched)
        if not caller.principal.may_use(request.model):
            raise NotFound(
                "model_not_found", f"The model {request.model!r} does not exist.", param="model"
            )
        card = self._residents.card(request.model)
        _check_kind(card, request)
        seed = secrets.randbits(63) if request.seed is None else request.seed
        begun = time.monotonic()
        slots = self._residents.slots(request.model)
        place = self._shares.admit(
            caller.principal, card.engine, slots, request.priority, choices=request.choices
        )
        try:
            model, worker = await self._residents.use(request.model, caller.principal.key_id, place)
            self._check_still(caller, begun)
            adapter = self._supervisor.adapters.find(request.model)
            card = self._supervisor.card(request.model)
            number = worker.next_id(request.choices)
            message = _prepare(number, request, seed, caller.principal, adapter)
            prepared = await worker.prepare(message, caller.principal.key_id)
        except BaseException:
            place.leave(0, 0)
            raise
        try:
            place.reserve(prepared.prompt_tokens, _answer_tokens(request, prepared))
        except ApplianceError:
            place.leave(0, 0)
            await worker.cancel(number)
            raise
        engine = self._supervisor.engine_for(model.id)
        draft = intent(caller, request, model, prepared, seed=seed, engine=engine, adapter=adapter)

        async def begin() -> Generation:
            try:
                before = time.monotonic()
                recorded = await append(self._audit, draft)
                self._metrics.audit_seconds.observe(time.monotonic() - before, "intent")
            except BaseException:
                place.leave(0, 0)
                await worker.cancel(number)
                raise
            generation = Generation(
                card=card,
                caller=caller,
                worker=worker,
                place=place,
                number=number,
                request=request,
                prepared=prepared,
                seed=seed,
                intent=recorded,
                created=self._clock.wall_us() // 1_000_000,
                audit=self._audit,
                metrics=self._metrics,
                form=_form(request, prepared),
                buffered=self._buffered,
            )
            self._running.add(generation)
            generation.when_ended(self._ended)
            return generation

        beginning = asyncio.create_task(begin())
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            # The intent may become durable all the same, and then it needs its outcome.
            beginning.add_done_callback(self._abandon)
            raise

    def _check_still(self, caller: Caller, begun: float) -> None:
        """Ask again what may have changed while the model was being loaded."""
        if time.monotonic() - begun < _LOOK_AT_KEYS_S:
            return
        if self.draining:
            raise Unavailable("shutting_down", "The server is stopping.")
        key_id = caller.principal.key_id
        if key_id != SELFTEST and not self._keys.is_live(key_id):
            raise Unauthenticated("invalid_api_key", "The API key was revoked or expired.")

    def _ended(self, generation: Generation) -> None:
        self._running.discard(generation)
        key_id = generation.caller.principal.key_id
        self._keys.note_usage(key_id, generation.prompt_tokens, generation.completion_tokens)

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


def _answer_tokens(request: GenerationRequest, prepared: Prepared) -> int:
    """What is reserved for the answer; what comes out longer is settled at its end."""
    most = prepared.max_tokens
    if request.max_tokens is None:
        most = min(most, UNSTATED_ANSWER)
    return most * request.choices


def _check_kind(card: ModelCard, request: GenerationRequest) -> None:
    does = {"generate": "writes text", "embed": "makes embeddings", "rerank": "reranks documents"}
    if card.kind != request.kind:
        raise BadRequest(
            "wrong_model_kind",
            f"The model {card.id!r} {does[card.kind]}; it does nothing else.",
            param="model",
        )


def _prepare(
    number: int,
    request: GenerationRequest,
    seed: int,
    principal: Principal,
    adapter: VerifiedAdapter | None,
) -> Prepare:
    return Prepare(
        id=number,
        sampling=replace(request.sampling, seed=seed),
        messages=request.messages,
        prompt=request.prompt,
        tokens=request.tokens,
        texts=request.texts,
        query=request.query,
        max_tokens=request.max_tokens,
        stop=request.stop,
        ignore_eos=request.ignore_eos,
        min_tokens=request.min_tokens,
        constraint=request.constraint,
        choices=request.choices,
        # To rank choices, the log-probabilities of their tokens are enough.
        logprobs=0 if request.logprobs is None and ranked(request) else request.logprobs,
        echo=request.echo,
        tools=request.tools,
        thinking=request.thinking,
        scope=principal.key_id,
        weight=principal.limits.weight,
        adapter=adapter.digest if adapter else "",
    )


def _form(request: GenerationRequest, prepared: Prepared) -> ReplyForm:
    tools = request.tools
    if tools is None:
        return ReplyForm(thinking=prepared.thinking)
    return ReplyForm(
        dialect=prepared.dialect,
        names=frozenset(function["name"] for function in tools.functions),
        forced=bool(tools.forced),
        thinking=prepared.thinking,
    )
