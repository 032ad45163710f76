"""The lines of a batch under way: each asked as an app would ask, its answer kept once.

Rules:
- A line takes the way of any request, at batch priority, whatever its key has.
- A refusal that time mends, such as a quota or a model that is loaded, is waited for, and once an
  engine that died before the line began. Any other is the line's answer.
- After a restart a line without a kept answer is begun again under another id where the log shows
  that it was begun. Its answer names the earlier requests.
- An answer that cannot be kept now, as on a full disk, is held until it can; few others begin.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.reader import LogReader
from appliance.auth.keys import KeyStore
from appliance.batches.files import KeptFiles
from appliance.batches.lines import (
    MOST_BEGUN,
    BatchLine,
    LineProblem,
    LineReply,
    NumberedLine,
    check_runs,
    code_of,
    numbered,
    read,
    request_of,
    written,
)
from appliance.batches.store import BatchEnd, BatchStore, StoredBatch
from appliance.clock import Clock
from appliance.errors import BadRequest, Forbidden, NotFound, Unauthenticated, Unavailable
from appliance.jobs.kind import Context, Stop
from appliance.types import Principal, Priority

_AHEAD: Final = 4
_GRACE_S: Final = 3.0
_LOOK_S: Final = 0.1
_LONGEST_WAIT_S: Final = 60.0
_FULL_S: Final = 5.0
_MENDS: Final = frozenset({429, 503})
_LOST: Final = "worker_lost"
_FINAL: Final = frozenset(
    {
        "answer_unkept", "kept_answers_full", "people_queue_full", "request_cancelled",
        "upstream_denied", "upstream_incomplete", "upstream_invalid", "upstream_lost",
        "upstream_redirect", "upstream_timeout", _LOST,
    }
)  # fmt: skip
"""Codes with a status of `_MENDS` of which another try would cost the same again."""
_log = logging.getLogger("appliance")


@dataclass(frozen=True)
class LineCall:
    """A line as it is asked.

    Attributes:
        principal: the key with its rights of this moment, at batch priority.
        body: the request, JSON.
        batch: the client's name of the request in the log.
    """

    principal: Principal
    request_id: str
    url: str
    body: bytes
    batch: str


AskLine: TypeAlias = Callable[[LineCall], Awaitable[LineReply]]
"""Asks one line of the routes of apps; may be given up at any time."""


@dataclass
class BatchParts:
    """The parts that all batches share.

    Attributes:
        slots: requests that a model runs at once.
        ask: set once there are routes to ask.
        doors: bound the lines of a key to a model, over all its batches.
    """

    files: KeptFiles
    store: BatchStore
    keys: KeyStore
    reader: LogReader
    clock: Clock
    slots: Callable[[str], int]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ask: AskLine | None = None
    doors: dict[tuple[str, str], asyncio.Semaphore] = field(default_factory=dict)

    def door(self, batch: StoredBatch) -> asyncio.Semaphore:
        """The door of a batch, wide enough to keep the model's engine busy."""
        name = (batch.key_id, batch.model)
        if name not in self.doors:
            self.doors[name] = asyncio.Semaphore(self.slots(batch.model) + _AHEAD)
        return self.doors[name]


class _Expired(Exception):
    """The time of the batch is over."""


class BatchRunning:
    """One run of a batch, from its first line without an answer; `fresh`: no line can have begun
    before.
    """

    def __init__(
        self, parts: BatchParts, job: Context[Any], batch: StoredBatch, *, fresh: bool
    ) -> None:
        self._parts, self._job, self._batch = parts, job, batch
        self._fresh_run = fresh
        self._door = parts.door(batch)
        self._width = parts.slots(batch.model) + _AHEAD
        self._running = set[asyncio.Task[None]]()
        self._done = 0

    async def work(self) -> StoredBatch:
        """The batch with its end. Raises Stop; lines without an answer soon were given up."""
        try:
            return await self._all()
        except (Forbidden, Unauthenticated) as error:
            return await self._decide("failed", LineProblem(error.code, error.message))
        except _Expired:
            return await self._decide("expired")
        except Stop as stop:
            if stop.code != "job_cancelled" and self._running:
                await asyncio.wait(self._running, timeout=_GRACE_S)
            raise
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _all(self) -> StoredBatch:
        async for line in self._left():
            while len(self._running) >= self._width:
                await self._some()
            self._look()
            self._running.add(asyncio.create_task(self._answer(line)))
        while self._running:
            await self._some()
        return await self._decide("completed")

    async def _left(self) -> AsyncIterator[NumberedLine]:
        files, in_thread = self._parts.files, self._job.in_thread
        lines = (await in_thread(files.known, self._batch.input)).lines
        done = await in_thread(self._parts.store.answered, self._batch, lines)
        self._done = sum(done)
        parts = files.parts(self._batch.input, max(done.find(0), 0))
        while (part := await in_thread(next, parts, None)) is not None:
            for line in numbered([part]):
                if not done[line.number]:
                    yield line

    async def _some(self) -> None:
        ended, _ = await asyncio.wait(
            self._running, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED
        )
        for task in ended:
            self._running.discard(task)
            self._done += 1
        for task in ended:
            task.result()
        self._look()

    def _look(self) -> None:
        self._job.report("answering", self._done, self._batch.total)
        if self._parts.clock.wall_us() >= self._batch.until_us:
            raise _Expired

    async def _decide(self, becomes: BatchEnd, *problems: LineProblem) -> StoredBatch:
        decide = self._parts.store.decide
        return await self._job.in_thread(decide, self._batch.id, becomes, problems)

    async def _answer(self, line: NumberedLine) -> None:
        async with self._door:
            request, found = request_of(self._batch.id, line.number, 0), None
            try:
                found = read(line.text)
                check_runs(found.body)
            except BadRequest as error:
                name = None if found is None else found.custom_id
                text = written(request, name, error, None)
                await self._keep(line, text, (), ok=False)
            else:
                await self._asked(line, found)

    async def _asked(self, line: NumberedLine, found: BatchLine) -> None:
        parts, batch = self._parts, self._batch
        if parts.ask is None:
            raise Unavailable("shutting_down", "No routes are there to be asked.")
        maybe_begun, again = not self._fresh_run, False
        while True:
            request, before = request_of(batch.id, line.number, 0), list[str]()
            if maybe_begun:
                request, before = await self._job.in_thread(self._fresh, line.number)
            who = parts.keys.holder(batch.key_id)
            if who.for_people:
                raise Forbidden("batch_for_person", "The key is for verified people now.")
            lowest = replace(who, limits=replace(who.limits, priority=Priority.BATCH))
            call = LineCall(lowest, request, batch.endpoint, bytes(found.body), batch.id)
            reply = await parts.ask(call)
            code = code_of(reply) if reply.status in _MENDS else ""
            if reply.status not in _MENDS or code in _FINAL:
                receipt, requests = await self._job.in_thread(self._recorded, request, reply)
                if code != _LOST or again or receipt is not None:
                    text = written(request, found.custom_id, reply, receipt, before)
                    return await self._keep(line, text, [*requests, *before], ok=reply.ok)
                again = True  # once: the line may be what the engine died of
            maybe_begun = True
            await parts.sleep(min(int(reply.headers.get("retry-after", 1)), _LONGEST_WAIT_S))

    def _fresh(self, line: int) -> tuple[str, list[str]]:
        before: list[str] = []
        while True:
            request = request_of(self._batch.id, line, len(before))
            try:
                self._parts.reader.find_request(request, self._batch.key_id)
            except NotFound:
                return request, before
            if len(before) == MOST_BEGUN:
                return request, before
            before.append(request)

    def _recorded(self, request: str, reply: LineReply) -> tuple[str | None, list[str]]:
        reader = self._parts.reader
        receipt = reply.headers.get("x-appliance-receipt", "")
        if receipt:
            several = reader.requested(receipt) if ", " in receipt else ()
            return receipt, [one for one in several if one != request]
        try:
            intent, outcome = reader.find_request(request, self._batch.key_id)
        except NotFound:
            return None, []
        entry = outcome or intent
        return f"{entry.seq} {entry.leaf.hex()} {reader.size}", []

    async def _keep(
        self, line: NumberedLine, text: bytes, requests: Sequence[str], *, ok: bool
    ) -> None:
        store, told = self._parts.store, False
        while True:
            keep = partial(store.keep, self._batch, line.number, text, requests, ok=ok)
            try:
                await _to_its_end(keep)
            except SQLAlchemyError as error:
                if not told:
                    what = "%s: the answer to line %d cannot be kept yet: %s"
                    _log.warning(what, self._batch.id, line.number + 1, type(error).__name__)
                told = True
                await self._parts.sleep(_FULL_S)
            else:
                return


async def _to_its_end(work: Callable[[], None]) -> None:
    """Run blocking code beside the loop, to its end even if cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
