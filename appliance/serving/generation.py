"""One running answer: pieces of the backend in, pieces for the client out, its outcome recorded.

Rules:
- The last piece of each choice, with its finish reason, leaves only after the outcome is durable,
  and mirrored if that is asked for.
- A buffered answer hands out nothing before that.
- A generation records exactly one outcome: ok, cancelled or error, whatever its backend raises. A
  crash leaves `unknown`, which the next start writes.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.admission.places import Place
from appliance.audit.log import Draft
from appliance.engine.text.reply import ReplyForm
from appliance.errors import ApplianceError, AuditUnavailable
from appliance.serving.answer_numbers import PART
from appliance.serving.audit_entries import BYTES, MICROSECONDS, TOKENS
from appliance.serving.backend import ModelBackend, PreparedRequest
from appliance.serving.choices import Choices
from appliance.serving.recording import Recording
from appliance.types import (
    Answerer,
    Caller,
    Delta,
    GenerationRequest,
    Json,
    ModelCard,
    Priority,
    Receipt,
    TaskAnswer,
)


class HasHeader(Protocol):
    """Where entries are in the log: one receipt, or several."""

    def header(self) -> str: ...


class ServedAnswer(Protocol):
    """An answer under way, as it is written to a client; iterate over it once."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def intent(self) -> HasHeader: ...

    @property
    def outcome(self) -> HasHeader | None: ...

    @property
    def created(self) -> int:
        """Unix time in seconds."""
        ...

    @property
    def form(self) -> ReplyForm: ...

    @property
    def seed(self) -> int:
        """The effective seed of the first choice."""
        ...

    @property
    def choices(self) -> int: ...

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def cached_tokens(self) -> int: ...

    @property
    def completion_tokens(self) -> int:
        """Tokens generated so far, over all choices."""
        ...

    @property
    def about(self) -> TaskAnswer | None: ...

    def __aiter__(self) -> AsyncIterator[Delta]: ...

    async def cancel(self) -> None: ...


class StartedAnswer(ServedAnswer, Protocol):
    """The answer of one request: of a model or a task, or a route that asks several."""

    @property
    def intent(self) -> Receipt:
        """Receipt of the newest intent."""
        ...

    @property
    def outcome(self) -> Receipt | None: ...


@dataclass(frozen=True)
class Admitted:
    """A request that has a place and was prepared by the backend that will answer it."""

    caller: Caller
    asked: GenerationRequest
    backend: ModelBackend
    prepared: PreparedRequest
    place: Place


class Generation:
    """One running answer; iterate over it once.

    Attributes:
        text: of the first choice, once the answer was given whole; None until then.
        by: the host on the network that answers, once a piece came from one.
    """

    def __init__(
        self,
        admitted: Admitted,
        intent: Receipt,
        created: int,
        recording: Recording,
        *,
        buffered: bool = False,
    ) -> None:
        self._backend, self._prepared = admitted.backend, admitted.prepared
        self._place = admitted.place
        self.asked = admitted.asked
        self._request = self._prepared.request
        self._recording, self._metrics = recording, recording.metrics
        self.caller = admitted.caller
        self.card = self._backend.card
        self.prompt_tokens = self._prepared.prompt_tokens
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.choices = self._request.n
        self.seed = self._prepared.seed
        self.form = self._prepared.form
        self.intent = intent
        self.outcome: Receipt | None = None
        self.text: str | None = None
        self.about: TaskAnswer | None = None
        self.by: Answerer | None = None
        self.created = created
        self._begun = time.monotonic()
        self._started: float | None = None
        self._first: float | None = None
        self._newest: float | None = None
        self._parts = Choices(self._request)
        self._held: list[Delta] | None = [] if buffered else None
        self._out: asyncio.Queue[Delta | ApplianceError] = asyncio.Queue()
        self._turn, self._ended = asyncio.Event(), asyncio.Event()
        self._cancelled = self._runs = False
        self._why: ApplianceError | None = None
        # The record is written whatever becomes of the client's task.
        self._task = asyncio.create_task(self._follow())

    async def __aiter__(self) -> AsyncIterator[Delta]:
        left = self.choices
        while left:
            item = await self._out.get()
            if isinstance(item, ApplianceError):
                raise item
            yield item
            left -= item.finish_reason is not None

    @property
    def priority(self) -> Priority:
        return self._request.priority or self.caller.principal.limits.priority

    @property
    def queued(self) -> bool:
        return not self._runs

    async def cancel(self, why: ApplianceError | None = None) -> None:
        """End the answer, if it has not ended; `why` is the client's error, None if no client
        waits.
        """
        again, self._cancelled, self._why = self._cancelled, True, self._why or why
        self._place.give_up()
        if self._runs and not again and not self._ended.is_set():
            await self._backend.cancel(self._prepared)

    def when_ended(self, call: Callable[["Generation"], None]) -> None:
        """Call `call` with this answer once its outcome is recorded or has failed to be."""
        self._task.add_done_callback(lambda _: call(self))

    async def running(self) -> None:
        """Wait until it runs, or has ended before."""
        await self._turn.wait()

    async def finished(self) -> None:
        await self._ended.wait()

    async def _follow(self) -> None:
        try:
            try:
                await self._run()
                await self._conclude()
            except (Exception, asyncio.CancelledError) as error:
                if _is_ending(error):
                    raise
                await self._fail(error)
        except BaseException as error:  # nothing can be recorded; nobody may wait for it
            self._out.put_nowait(self._known(error))
            if _is_ending(error):
                raise
        finally:
            self._turn.set()
            self._ended.set()
            self._place.leave(self.prompt_tokens, self.completion_tokens)

    def _known(self, error: BaseException) -> ApplianceError:
        if isinstance(error, ApplianceError) and error.code != "internal_error":
            return error
        return self._recording.unexpected(error, self.caller.request_id)

    async def _run(self) -> None:
        turn = not self._cancelled and await self._place.turn()
        if self._cancelled or not turn:  # the backend must never see it run after that
            await self._backend.cancel(self._prepared)
            for index in range(self._prepared.choices):
                self._parts.take(Delta("", 0, "cancelled", index))
            return
        self._runs, self._started = True, time.monotonic()
        self._turn.set()
        self._metrics.queue_seconds.labels(self.card.id).observe(self._started - self._begun)
        async with contextlib.aclosing(self._backend.run(self._prepared)) as pieces:
            async for piece in pieces:
                self._take(piece)
        if self._parts.running:
            raise RuntimeError("the backend ended without a finish reason for each choice")

    def _take(self, piece: Delta) -> None:
        self.completion_tokens += piece.tokens
        self.cached_tokens = piece.cached
        self.prompt_tokens = piece.prompt or self.prompt_tokens
        self.about = piece.about or self.about
        self.by = piece.by or self.by
        if piece.text or piece.vector:
            self._note_text()
        if (delta := self._parts.take(piece)) is not None:
            self._give(delta)

    def _give(self, delta: Delta) -> None:
        if self._held is None:
            self._out.put_nowait(delta)
        else:
            self._held.append(delta)

    def _note_text(self) -> None:
        now, model = time.monotonic(), self.card.id
        if self._first is None or self._newest is None:
            self._first = now
            self._metrics.ttft_seconds.labels(model).observe(now - self._begun)
        else:
            self._metrics.gap_seconds.labels(model).observe(now - self._newest)
        self._newest = now

    async def _conclude(self) -> None:
        if self._parts.cancelled and self._why is not None:
            self.outcome = await self._record("cancelled", self._why.code)
            self._out.put_nowait(self._why)
            return
        status = "cancelled" if self._parts.cancelled else "ok"
        self.outcome = await self._record(status, self._parts.finish)
        if status == "ok":
            await self._recording.acknowledge(self.outcome)
            self.text = self._parts.contents()["completion"].decode()
        for delta in [*(self._held or []), *self._parts.last()]:
            self._out.put_nowait(delta)

    async def _fail(self, error: BaseException) -> None:
        known = self._known(error)
        if self._runs and known is not error:  # the backend may not know that it has ended
            with contextlib.suppress(Exception):
                await self._backend.cancel(self._prepared)
        if not isinstance(known, AuditUnavailable) and self.outcome is None:
            try:
                self.outcome = await self._record("error", known.code)
            except AuditUnavailable as unavailable:
                known = unavailable
        self._out.put_nowait(known)

    async def _record(self, status: str, finish: str) -> Receipt:
        now = time.monotonic()
        texts = self._parts.contents()
        size = sum(map(len, texts.values()))
        if status == "ok" and self._prepared.computed is not None:
            texts[PART] = self._prepared.computed.numbers().text()
        step = self.caller.principal.step

        def took(end: float) -> int:
            return step(int((end - self._begun) * 1e6), MICROSECONDS)

        fields: dict[str, Json] = {
            "intent": self.intent.seq,
            "request_id": self.caller.request_id,
            "key_id": self.caller.principal.key_id,
            "app": self.caller.principal.name,
            **self.caller.named(),
            "model": self.card.id,
            "status": status,
            "finish": finish,
            "prompt_tokens": step(self.prompt_tokens, TOKENS),
            "completion_tokens": step(self.completion_tokens, TOKENS),
            "queued_us": took(self._started or now),
            "ttft_us": took(self._first or now),
            "duration_us": took(now),
            "bytes": step(size, BYTES),
        }
        padded = self.caller.principal.padded
        if not padded and self.about is not None and self.about.confidence is not None:
            fields["confidence_ppm"] = round(1e6 * self.about.confidence)
        if self.about is not None and self.about.cited is not None:
            fields["citations"] = list(self.about.cited.commitments)
        if self.by is not None:
            fields["answered_by"] = self.by.fields()
        if self._prepared.first is not None:
            fields |= self._prepared.first.ended()
        self._metrics.generations.labels(self.card.id, status).inc()
        self._metrics.prompt_tokens.labels(self.card.id).inc(self.prompt_tokens)
        self._metrics.cached_tokens.labels(self.card.id).inc(self.cached_tokens)
        self._metrics.completion_tokens.labels(self.card.id).inc(self.completion_tokens)
        draft = Draft("outcome", fields, texts, self.caller.principal.content)
        return await self._recording.append(draft)


def _is_ending(error: BaseException) -> bool:
    """True if the server ends; a backend that leaks its own cancellation is only wrong."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return not isinstance(error, Exception)
