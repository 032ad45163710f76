"""The server's end of a worker: start it, talk to it, notice its death.

Rules: the worker is not trusted: frames are bounded and decoded strictly, and one that breaks the
protocol is killed. A request ends with a row or with None when the worker died. Requests wait here
to be prepared, so that only those being prepared are suspected of a death.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, assert_never

import msgspec

from appliance.engine import protocol
from appliance.engine.limits import MOST_VALUES, check_count, check_values
from appliance.engine.watchdog import TOO_LONG
from appliance.errors import CODES, BadRequest, StateRefused, TooLarge, WorkerLost
from appliance.workers.child import TalkingChild
from appliance.workers.crashes import Death
from appliance.workers.lanes import Lanes

_START_TIMEOUT_S = 600.0
_PREPARE_TIMEOUT_S = 30.0
_PREPARE_LARGE_TIMEOUT_S = 300.0  # what is large is prepared with the lower priority
_ATTACH_TIMEOUT_S = 120.0


Answer: TypeAlias = protocol.Prepared | protocol.Tokens | protocol.Adapters


class Sealed(Protocol):
    """A sealed memory file."""

    def reopen(self) -> int: ...

    @property
    def inode(self) -> int:
        """The only inode that the worker may map."""
        ...


def engine() -> TalkingChild:
    """A worker that imports its modules and waits for its model, which is still being sealed."""
    return TalkingChild.talking("appliance.engine.worker")


class WorkerProcess:
    """A running worker. Make one with `start`."""

    def __init__(
        self,
        child: TalkingChild,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = child.process
        self._descriptors = child.descriptors
        self._reader = reader
        self._writer = writer
        self._next_id = 1
        self._preparing: dict[int, asyncio.Future[Answer]] = {}
        self._rows: dict[int, asyncio.Queue[protocol.Row | None]] = {}
        self._keys: dict[int, str] = {}  # requests that a death would be attributed to
        self._prepared: dict[int, str] = {}  # those that wait for their turn cannot be at fault
        self._lanes = Lanes()
        self._overdue: dict[int, asyncio.TimerHandle] = {}
        self._suspects: frozenset[str] | None = None  # fixed once the worker is lost
        self._ended: asyncio.Future[tuple[int, bytes]] = child.ended()
        self.running = 0
        self.waiting = 0
        self.cells_used = self.cells_kept = self.threads = 0
        self.adapters: frozenset[str] = frozenset()
        self.ready: protocol.WorkerReady

    @classmethod
    async def start(
        cls,
        model: Sealed,
        load: protocol.Load,
        adapters: Mapping[str, Sealed] | None = None,
        loading: Callable[[int], None] = lambda percent: None,
        child: TalkingChild | None = None,
    ) -> "WorkerProcess":
        """Start a worker and wait until its model is loaded.

        Args:
            child: the process that becomes the worker, if already started; taken over.
            adapters: to load next to it, by digest; `self.adapters` has those that it took.
        """
        inode = model.inode  # it may be closed once the worker has read it
        child = child or engine()
        try:
            reader, writer = await asyncio.open_connection(sock=child.connection)
        except BaseException:
            child.end()
            raise
        worker = cls(child, reader, writer)
        try:
            with contextlib.suppress(WorkerLost):  # it has ended; the handshake says why
                worker._give(model)
            await worker._handshake(load, loading)
            if worker.ready.inodes != [inode]:
                raise StateRefused(
                    "mapping_mismatch",
                    f"The worker mapped inodes {worker.ready.inodes}, not {inode}.",
                )
            for digest, sealed in (adapters or {}).items():
                await worker._attach_first(digest, sealed)
        except BaseException:
            worker.kill()
            await worker.closed()
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def load(self) -> int:
        """Requests that are being prepared or wait for it, or were started and have not ended."""
        return len(self._preparing) + len(self._rows)

    async def _handshake(self, load: protocol.Load, loading: Callable[[int], None]) -> None:
        self._writer.write(protocol.frame(load))
        try:
            first = await asyncio.wait_for(self._loaded(loading), _START_TIMEOUT_S)
        except (EOFError, ConnectionError, msgspec.MsgspecError, TimeoutError) as error:
            self.kill()
            death = await self.closed()
            raise StateRefused(
                "model_load_failed", f"The worker ended with {death.status}: {death.reason[-500:]}"
            ) from error
        if isinstance(first, protocol.Failed) and first.code in CODES:
            raise StateRefused(first.code, first.message)
        if not isinstance(first, protocol.WorkerReady):
            raise StateRefused("model_load_failed", "The worker broke the protocol.")
        self.ready = first

    async def _loaded(self, loading: Callable[[int], None]) -> protocol.FromWorker:
        """The first message that does not report the progress of the load."""
        done = -1
        while isinstance(message := await self._receive(), protocol.Loading):
            if not done <= message.percent <= 100:
                break  # it breaks the protocol
            if message.percent > done:
                done = message.percent
                loading(done)
        return message

    async def prepare(self, request: protocol.Prepare, key: str) -> protocol.Prepared:
        """Prepare a request, which has an id from `next_id`.

        Raises:
            BadRequest: with the worker's code; `context_length_exceeded` for too many messages.
            WorkerLost: the worker ended meanwhile, or needed too long and was ended.
        """
        if request.asked.messages is not None:
            check_count(len(request.asked.messages), self.ready.fewest, self.ready.n_ctx)
        answer = await self._ask(request, key)
        if not isinstance(answer, protocol.Prepared):
            raise self._broken()
        return answer

    async def tokenize(self, request: protocol.Tokenize, key: str) -> protocol.Tokens:
        if isinstance(answer := await self._ask(request, key), protocol.Tokens):
            return answer
        raise self._broken()

    async def attach(self, adapter: str, sealed: Sealed) -> None:
        """Attach an adapter, named by its digest. Raises as `prepare`."""
        # No await between the two: the worker takes descriptors in the order of the messages.
        self._give(sealed)
        await self._change(protocol.Attach(self.next_id(), adapter))

    async def detach(self, adapter: str) -> None:
        """Free an adapter; answers with it end as detached."""
        self.adapters -= {adapter}
        await self._change(protocol.Detach(self.next_id(), adapter))

    def _give(self, sealed: Sealed) -> None:
        fd = sealed.reopen()
        try:
            socket.send_fds(self._descriptors, [b"\0"], [fd])
        except OSError as error:
            raise WorkerLost("worker_lost", "The engine process of the model ended.") from error
        finally:
            os.close(fd)

    async def _attach_first(self, adapter: str, sealed: Sealed) -> None:
        """Attach before anything else runs, and before `pump`; a refusal leaves it out."""
        try:
            self._give(sealed)
            await self._send(protocol.Attach(self.next_id(), adapter))
            answer = await asyncio.wait_for(self._receive(), _ATTACH_TIMEOUT_S)
        except (EOFError, OSError, msgspec.MsgspecError, TimeoutError, WorkerLost) as error:
            raise StateRefused("model_load_failed", f"Loading an adapter: {error}") from error
        if isinstance(answer, protocol.Adapters):
            self.adapters = frozenset(answer.adapters)
        elif not isinstance(answer, protocol.Rejected):
            raise StateRefused("model_load_failed", "The worker broke the protocol.")

    async def _change(self, request: protocol.Attach | protocol.Detach) -> None:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._preparing[request.id] = future
        try:
            await self._send(request)
            answer = await asyncio.wait_for(future, _ATTACH_TIMEOUT_S)
        except BadRequest as error:
            raise StateRefused(error.code, error.message) from error
        except TimeoutError as error:
            self.kill()
            raise WorkerLost("worker_lost", "Loading the adapter took too long.") from error
        finally:
            self._preparing.pop(request.id, None)
        if not isinstance(answer, protocol.Adapters):
            raise self._broken()
        self.adapters = frozenset(answer.adapters)

    def _broken(self) -> WorkerLost:
        """End a worker whose answer does not match the question."""
        self.kill()
        return WorkerLost("worker_lost", "The engine process of the model broke the protocol.")

    async def _ask(self, request: protocol.Prepare | protocol.Tokenize, key: str) -> Answer:
        loop = asyncio.get_running_loop()
        frame = protocol.frame(request)
        future: asyncio.Future[Answer] = loop.create_future()
        self._preparing[request.id] = future
        try:
            if request.asked.messages is not None and len(frame) > MOST_VALUES:  # a byte for each
                await asyncio.to_thread(check_values, request.asked)
            await self._lanes.enter(request.id, key, len(frame))
            if future.done():  # the worker ended meanwhile
                self._lanes.leave(request.id)
                return await future
            self._keys[request.id] = key
            # Not for as long as somebody waits for the answer: it is the worker that is watched.
            small = len(frame) <= protocol.SMALL
            self._overdue[request.id] = loop.call_later(
                _PREPARE_TIMEOUT_S if small else _PREPARE_LARGE_TIMEOUT_S,
                self._took_too_long,
                request.id,
            )
            try:
                await self._send_frame(frame)
            except WorkerLost:
                self._answered(request.id)
                raise
            return await future
        finally:
            self._preparing.pop(request.id, None)

    def _took_too_long(self, request: int) -> None:
        future = self._preparing.get(request)
        if future is not None and not future.done():
            future.set_exception(WorkerLost("worker_lost", "Preparing the prompt took too long."))
        self.kill()

    def _answered(self, request: int) -> None:
        overdue = self._overdue.pop(request, None)
        if overdue is not None:
            overdue.cancel()
        self._lanes.leave(request)

    def next_id(self, choices: int = 1) -> int:
        """An id for the next request; of several choices, the ids after it, too."""
        first, self._next_id = self._next_id, self._next_id + choices
        return first

    async def run(self, request: int, choices: int = 1) -> "asyncio.Queue[protocol.Row | None]":
        """The rows of all its choices; nothing follows a finish reason, or None."""
        rows: asyncio.Queue[protocol.Row | None] = asyncio.Queue()
        ids = range(request, request + choices)
        self._rows.update(dict.fromkeys(ids, rows))
        if request in self._prepared:
            self._keys[request] = self._prepared.pop(request)
        try:
            await self._send(protocol.Run(request))
        except WorkerLost:
            for choice in ids:
                self._rows.pop(choice, None)
            raise
        return rows

    async def cancel(self, request: int, choices: int = 1) -> None:
        if request not in self._rows:  # else it stays a suspect until its last row
            self._keys.pop(request, None)
            self._prepared.pop(request, None)
        with contextlib.suppress(WorkerLost):
            for choice in range(request, request + choices):
                await self._send(protocol.Cancel(choice))

    async def _send(self, message: protocol.ToWorker) -> None:
        await self._send_frame(protocol.frame(message))

    async def _send_frame(self, frame: bytes) -> None:
        if self._suspects is not None:
            raise WorkerLost("worker_lost", "The engine process of the model ended.")
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerLost("worker_lost", "The engine process of the model ended.") from error

    async def _receive(self) -> protocol.FromWorker:
        header = await self._reader.readexactly(protocol.HEADER.size)
        (size,) = protocol.HEADER.unpack(header)
        if size > protocol.LARGEST_FRAME:
            raise EOFError(f"a frame of {size} bytes")
        return protocol.decode_from_worker(await self._reader.readexactly(size))

    async def pump(self) -> Death:
        """Deliver what the worker sends until it ends; then fail what was under way."""
        try:
            while True:
                self._deliver(await self._receive())
        except (EOFError, ConnectionError, msgspec.MsgspecError):
            self.kill()
        finally:
            self._fail_all()
        return await self.closed()

    def _deliver(self, message: protocol.FromWorker) -> None:
        match message:
            case protocol.Step():
                self._deliver_step(message)
            case (
                protocol.Prepared() | protocol.Tokens() | protocol.Adapters() | protocol.Rejected()
            ):
                self._deliver_answer(message)
            case protocol.Loading() | protocol.WorkerReady() | protocol.Failed():
                pass  # they come before anything is asked
            case _:
                assert_never(message)

    def _deliver_step(self, message: protocol.Step) -> None:
        self.running, self.waiting = message.running, message.waiting
        self.cells_used, self.cells_kept = message.cells_used, message.cells_kept
        self.threads = message.threads
        for row in message.rows:
            self._keys.pop(row.id, None)
            rows = self._rows.get(row.id) if row.finish is None else self._rows.pop(row.id, None)
            if rows is not None:
                rows.put_nowait(row)

    def _deliver_answer(self, message: Answer | protocol.Rejected) -> None:
        self._answered(message.id)
        found = self._preparing.get(message.id)
        future = None if found is None or found.done() else found
        key = self._keys.pop(message.id, "")
        match message:
            case protocol.Rejected():
                if message.code not in CODES:
                    raise msgspec.ValidationError(f"the code {message.code!r}")
                kind = TooLarge if message.code == "request_too_large" else BadRequest
                if future is not None:
                    future.set_exception(kind(message.code, message.message, param=message.param))
            case protocol.Tokens() | protocol.Adapters():
                if future is not None:
                    future.set_result(message)
            case protocol.Prepared():
                if future is not None:
                    self._prepared[message.id] = key
                    future.set_result(message)
                elif key:  # its client went away meanwhile
                    self._writer.write(protocol.frame(protocol.Cancel(message.id)))
            case _:
                assert_never(message)

    def _fail_all(self) -> None:
        # Before anybody is told: what they do then must not change who is suspected.
        self._suspects = frozenset(self._keys.values())
        lost = WorkerLost("worker_lost", "The engine process of the model ended.")
        for future in self._preparing.values():
            if not future.done():
                future.set_exception(lost)
        for rows in self._rows.values():
            rows.put_nowait(None)
        self._rows.clear()
        for request in list(self._overdue):
            self._answered(request)

    def kill(self) -> None:
        self._process.kill()

    async def closed(self) -> Death:
        self._writer.close()
        self._descriptors.close()
        status, errors = await asyncio.shield(self._ended)
        suspects = frozenset(self._keys.values()) if self._suspects is None else self._suspects
        if status == TOO_LONG:  # a step of the model
            suspects = frozenset()
        return Death(status, suspects, errors.decode("utf-8", "replace"))
