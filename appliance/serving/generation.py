"""One running answer: rows of the worker in, pieces for the client out, its outcome recorded.

Rules:
- The last piece of an answer, with its finish reason, is handed out only after the outcome is
  durable; of an answer with several choices, the last piece of each.
- A buffered answer hands out nothing before that: no piece exists whose outcome is unknown.
- A generation records exactly one outcome: ok, cancelled or error; a crash leaves `unknown`,
  written at the next start.
- It leaves its place in the queue after its outcome is recorded.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from appliance.admission.places import Place
from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.engine.protocol import Prepared, Row
from appliance.engine.text.reply import ReplyForm
from appliance.errors import (
    ApplianceError,
    AuditUnavailable,
    BadRequest,
    Unavailable,
    WorkerLost,
)
from appliance.observability.metrics import Metrics
from appliance.serving.choices import Choices
from appliance.types import (
    Caller,
    Delta,
    GenerationRequest,
    Json,
    ModelCard,
    Priority,
    Receipt,
)
from appliance.workers.process import WorkerProcess


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
        buffered: bool = False,
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
        self._held: list[Delta] | None = [] if buffered else None
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

    def when_ended(self, call: Callable[["Generation"], None]) -> None:
        """Have `call` called with this answer once its outcome is recorded or has failed to be."""
        self._task.add_done_callback(lambda _: call(self))

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
            if row.finish == "detached":
                await self._worker.cancel(self._number, self._request.choices)
                raise Unavailable("adapter_unloaded", f"{self.card.id} was unloaded.")
            if row.finish == "invalid":
                await self._worker.cancel(self._number, self._request.choices)
                raise _impossible(self._request)
            delta = self._parts.take(row, row.id - self._number)
            if delta is not None:
                self._give(delta)

    def _give(self, delta: Delta) -> None:
        """Hand a piece out now, or keep it until the outcome is durable."""
        if self._held is None:
            self._out.put_nowait(delta)
        else:
            self._held.append(delta)

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
        for delta in [*(self._held or []), *self._parts.last()]:
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
            "app": self.caller.principal.name,
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
        receipt = await append(
            self._audit, Draft("outcome", fields, texts, self.caller.principal.content)
        )
        self._metrics.audit_seconds.observe(time.monotonic() - before, "outcome")
        return receipt


def _impossible(request: GenerationRequest) -> BadRequest:
    if request.constraint is None:
        return BadRequest("output_invalid", "The model gave no token that may come next.")
    return BadRequest(
        "output_invalid",
        "No answer satisfies the constraint from here on.",
        param="response_format",
    )
