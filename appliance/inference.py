"""The use-case of an answer: authorise, prepare, record the intent, run, record the outcome.

Rules:
- The intent is durable before the model runs, so no byte of an answer exists without it.
- The last piece of an answer, with its finish reason, is handed out only after the outcome is
  durable; of an answer with several choices, the last piece of each. Every intent gets exactly
  one outcome: ok, cancelled or error; a crash leaves `unknown`, written at the next start.
- If the log cannot be written there is no answer.
- An answer waits for the turn of its key after its intent is recorded, and leaves its place
  after its outcome is. When its key is revoked or expires, it ends with an error.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from appliance.audit.log import AuditLog, Draft
from appliance.auth.keys import KeyStore
from appliance.auth.shares import UNSTATED_ANSWER, Place, Shares
from appliance.clock import Clock
from appliance.engine.choices import Choices, ranked
from appliance.engine.messages import Prepare, Prepared, Row
from appliance.engine.process import WorkerProcess
from appliance.engine.reply import ReplyForm
from appliance.errors import (
    ApplianceError,
    AuditUnavailable,
    BadRequest,
    NotFound,
    Unauthenticated,
    Unavailable,
    WorkerLost,
)
from appliance.metrics import Metrics
from appliance.supervisor import Supervisor
from appliance.trust.store import VerifiedModel
from appliance.types import (
    Caller,
    Constraint,
    Delta,
    GenerationRequest,
    Json,
    ModelCard,
    Principal,
    Priority,
    Receipt,
    Tools,
)

_LOOK_AT_KEYS_S = 0.25


class Generation:
    """One running answer; iterate over it once.

    Attributes:
        caller: who asked.
        card: the model that answers.
        prompt_tokens: length of the prompt, which counts once for all choices.
        cached_tokens: prompt tokens whose KV entries were reused.
        completion_tokens: tokens generated so far, over all choices.
        choices: how many choices the answer has.
        seed: the effective seed of the first choice.
        intent: receipt of the intent entry.
        outcome: receipt of the outcome entry, once it is durable.
        form: how reasoning and calls are to be read out of the text.
        created: Unix time in seconds.
    """

    def __init__(
        self,
        *,
        card: ModelCard,
        caller: Caller,
        worker: WorkerProcess,
        place: Place,
        number: int,
        request: GenerationRequest,
        prepared: Prepared,
        seed: int,
        intent: Receipt,
        created: int,
        audit: AuditLog,
        form: ReplyForm,
        metrics: Metrics,
    ) -> None:
        self.card = card
        self.caller = caller
        self.prompt_tokens = prepared.prompt_tokens
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.choices = request.n
        self.seed = seed
        self.intent = intent
        self.outcome: Receipt | None = None
        self.form = form
        self.created = created
        self._worker = worker
        self._number = number
        self._place = place
        self._request = request
        self._audit = audit
        self._metrics = metrics
        self._newest: float | None = None
        self._begun = time.monotonic()
        self._started: float | None = None
        self._first: float | None = None
        self._parts = Choices(request)
        self._out: asyncio.Queue[Delta | ApplianceError] = asyncio.Queue()
        self._ended = asyncio.Event()
        self._cancelled = self._runs = False
        self._why: ApplianceError | None = None
        # The record is written whatever becomes of the client's task.
        self._task = asyncio.create_task(self._follow())

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """The answer in pieces.

        Raises:
            WorkerLost: the engine ended; the outcome is recorded as an error.
            AuditUnavailable: the outcome cannot be recorded.
        """
        left = self.choices
        while left:
            item = await self._out.get()
            if isinstance(item, ApplianceError):
                raise item
            yield item
            left -= item.finish_reason is not None

    @property
    def priority(self) -> Priority:
        """How urgent it is."""
        return self._request.priority or self.caller.principal.limits.priority

    @property
    def queued(self) -> bool:
        """Whether it waits for its turn."""
        return not self._runs

    async def cancel(self, why: ApplianceError | None = None) -> None:
        """End the answer; does nothing when it has ended.

        Args:
            why: what the client is told; None because nobody waits for it.
        """
        again, self._cancelled, self._why = self._cancelled, True, self._why or why
        self._place.give_up()
        if self._runs and not again and not self._ended.is_set():
            await self._worker.cancel(self._number, self._request.choices)

    async def finished(self) -> None:
        """Wait until the outcome is recorded or has failed to be."""
        await self._ended.wait()

    async def _follow(self) -> None:
        try:
            await self._run()
            await self._conclude()
        except ApplianceError as error:
            await self._fail(error)
        finally:
            self._place.leave(self.prompt_tokens, self.completion_tokens)
            self._ended.set()

    async def _run(self) -> None:
        turn = not self._cancelled and await self._place.turn()
        if self._cancelled or not turn:  # the worker must never see it run after that
            await self._worker.cancel(self._number)
            for index in range(self._request.choices):
                self._parts.take(Row(index, "", 0, "cancelled"), index)
            return
        self._runs, self._started = True, time.monotonic()
        self._metrics.queue_seconds.observe(self._started - self._begun, self.card.id)
        await self._forward(await self._worker.run(self._number, self._request.choices))

    async def _forward(self, rows: "asyncio.Queue[Row | None]") -> None:
        """Hand out rows until the last one of each choice, which waits for the outcome."""
        while self._parts.running:
            row = await rows.get()
            if row is None:
                raise WorkerLost("worker_lost", "The engine process of the model ended.")
            self.completion_tokens += row.tokens
            self.cached_tokens = row.reused
            if row.text or row.vector:
                self._note_text()
            if row.finish == "invalid":
                await self._worker.cancel(self._number, self._request.choices)
                raise _impossible(self._request)
            delta = self._parts.take(row, row.id - self._number)
            if delta is not None:
                self._out.put_nowait(delta)

    def _note_text(self) -> None:
        now, model = time.monotonic(), self.card.id
        if self._first is None or self._newest is None:
            self._first = now
            self._metrics.ttft_seconds.observe(now - self._begun, model)
        else:
            self._metrics.gap_seconds.observe(now - self._newest, model)
        self._newest = now

    async def _conclude(self) -> None:
        if self._parts.cancelled and self._why is not None:
            self.outcome = await self._record("cancelled", self._why.code)
            self._out.put_nowait(self._why)
            return
        status = "cancelled" if self._parts.cancelled else "ok"
        self.outcome = await self._record(status, self._parts.finish)
        for delta in self._parts.last():
            self._out.put_nowait(delta)

    async def _fail(self, error: ApplianceError) -> None:
        if not isinstance(error, AuditUnavailable):
            try:
                self.outcome = await self._record("error", error.code)
            except AuditUnavailable as unavailable:
                error = unavailable
        self._out.put_nowait(error)

    async def _record(self, status: str, finish: str) -> Receipt:
        now = time.monotonic()
        texts = self._parts.contents()
        fields: dict[str, Json] = {
            "intent": self.intent.seq,
            "request_id": self.caller.request_id,
            "key_id": self.caller.principal.key_id,
            "model": self.card.id,
            "status": status,
            "finish": finish,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "queued_us": int(((self._started or now) - self._begun) * 1e6),
            "ttft_us": int(((self._first or now) - self._begun) * 1e6),
            "duration_us": int((now - self._begun) * 1e6),
            "bytes": sum(map(len, texts.values())),
        }
        self._metrics.generations.add(self.card.id, status)
        self._metrics.prompt_tokens.add(self.card.id, by=self.prompt_tokens)
        self._metrics.cached_tokens.add(self.card.id, by=self.cached_tokens)
        self._metrics.completion_tokens.add(self.card.id, by=self.completion_tokens)
        before = time.monotonic()
        receipt = await append(self._audit, Draft("outcome", fields, texts))
        self._metrics.audit_seconds.observe(time.monotonic() - before, "outcome")
        return receipt


class Inference:
    """Answers for apps.

    Args:
        supervisor: where the models are.
        audit: the log.
        clock: wall time of what is recorded.
        keys: which keys may go on, and where usage is counted.
        shares: quotas and turns.
        metrics: where answers are counted.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        audit: AuditLog,
        clock: Clock,
        keys: KeyStore,
        shares: Shares,
        metrics: Metrics,
    ) -> None:
        self._supervisor = supervisor
        self._audit = audit
        self._clock = clock
        self._keys = keys
        self._shares = shares
        self._metrics = metrics
        self.draining = False
        self._running: set[Generation] = set()
        self._cancelling: set[asyncio.Task[None]] = set()

    def cards(self, principal: Principal) -> list[ModelCard]:
        """The models that an app may use now."""
        return [c for c in self._supervisor.cards() if principal.may_use(c.id)]

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
                if not self._keys.is_live(generation.caller.principal.key_id):
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
            Unavailable: the model is not ready.
        """
        if self.draining:
            raise Unavailable("shutting_down", "The server is stopping.")
        if self._audit.latched:
            raise AuditUnavailable("audit_unavailable", self._audit.latched)
        if not caller.principal.may_use(request.model):
            raise NotFound(
                "model_not_found", f"The model {request.model!r} does not exist.", param="model"
            )
        model, worker = self._supervisor.worker(request.model, caller.principal.key_id)
        card = self._supervisor.card(model.id)
        _check_kind(card, request)
        seed = secrets.randbits(63) if request.seed is None else request.seed
        slots = self._supervisor.slots(model.id)
        place = self._shares.admit(
            caller.principal, model.id, slots, request.priority, choices=request.choices
        )
        number = worker.next_id(request.choices)
        try:
            message = _prepare(number, request, seed, caller.principal)
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
        draft = self._intent(caller, request, model, prepared, seed)

        async def begin() -> Generation:
            try:
                before = time.monotonic()
                intent = await append(self._audit, draft)
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
                intent=intent,
                created=self._clock.wall_us() // 1_000_000,
                audit=self._audit,
                metrics=self._metrics,
                form=_form(request, prepared),
            )
            self._running.add(generation)
            generation._task.add_done_callback(lambda _: self._ended(generation))
            return generation

        beginning = asyncio.create_task(begin())
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            # The intent may become durable all the same, and then it needs its outcome.
            beginning.add_done_callback(self._abandon)
            raise

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
        waiting = [asyncio.create_task(g.finished()) for g in self.running()]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        for generation in self.running():
            await generation.cancel(Unavailable("shutting_down", "The server is stopping."))
        if waiting:
            await asyncio.wait(waiting, timeout=10)

    def _intent(
        self,
        caller: Caller,
        request: GenerationRequest,
        model: VerifiedModel,
        prepared: Prepared,
        seed: int,
    ) -> Draft:
        fields: dict[str, Json] = {
            "request_id": caller.request_id,
            "key_id": caller.principal.key_id,
            "app": caller.principal.name,
            "ip": caller.ip,
            "route": caller.route,
            "retry": caller.retry,
            "model": model.id,
            "digest": model.digest,
            "policy": model.policy_version,
            "engine": self._supervisor.engine,
            "template": prepared.template_sha256,
            "prompt_tokens": prepared.prompt_tokens,
            "params": _params(request, prepared, seed),
        }
        prompt: object = request.messages or request.prompt or request.tokens or request.texts
        if request.query is not None:
            prompt = {"query": request.query, "documents": request.texts}
        # Stop strings and the words behind a bias are the client's text too: erasable, and not
        # in the permanent body.
        texts = {"prompt": _text(prompt), "stop": _text(request.stop)}
        if request.sampling.logit_bias:
            texts["logit_bias"] = _text(request.sampling.logit_bias)
        if request.tools is not None:
            texts["tools"] = _text(request.tools.functions)
        return Draft("intent", fields, texts)


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


def _prepare(number: int, request: GenerationRequest, seed: int, principal: Principal) -> Prepare:
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


def _params(request: GenerationRequest, prepared: Prepared, seed: int) -> dict[str, Json]:
    """The effective sampling parameters; decimals as text, because bodies hold no floats."""
    if request.texts is not None:
        return {"kind": request.kind, "texts": len(request.texts)}
    sampling = request.sampling
    return {
        "temperature": repr(sampling.temperature),
        "top_k": sampling.top_k,
        "top_p": repr(sampling.top_p),
        "min_p": repr(sampling.min_p),
        "typical_p": repr(sampling.typical_p),
        "presence_penalty": repr(sampling.presence_penalty),
        "frequency_penalty": repr(sampling.frequency_penalty),
        "repetition_penalty": repr(sampling.repetition_penalty),
        "logit_bias": len(sampling.logit_bias),
        "n": request.n,
        "best_of": request.choices,
        "logprobs": request.logprobs,
        "echo": request.echo,
        "seed": str(seed),
        "max_tokens": prepared.max_tokens,
        "min_tokens": request.min_tokens,
        "ignore_eos": request.ignore_eos,
        "stop": len(request.stop),
        "constraint": _constraint(request.constraint),
        "tools": _tools(request.tools),
    }


def _impossible(request: GenerationRequest) -> BadRequest:
    if request.constraint is None:
        return BadRequest("output_invalid", "The model gave no token that may come next.")
    return BadRequest(
        "output_invalid",
        "No answer satisfies the constraint from here on.",
        param="response_format",
    )


def _text(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _tools(tools: Tools | None) -> dict[str, Json] | None:
    """How many functions were on offer, which, and whether one had to be called.

    Their descriptions are the client's text, so that only a digest of them is permanent.
    """
    if tools is None:
        return None
    digest = hashlib.sha256(_text(tools.functions)).hexdigest()
    return {"count": len(tools.functions), "forced": len(tools.forced), "sha256": digest}


def _constraint(constraint: Constraint | None) -> dict[str, Json] | None:
    if constraint is None:
        return None
    digest = hashlib.sha256(constraint.source.encode("utf-8", "replace")).hexdigest()
    return {"kind": constraint.kind, "sha256": digest}


async def append(audit: AuditLog, draft: Draft) -> Receipt:
    """Append one entry and wait until it is durable.

    Raises:
        AuditUnavailable: it is not, and may never be.
    """
    (receipt,) = await asyncio.shield(asyncio.wrap_future(audit.append(draft)))
    return receipt
