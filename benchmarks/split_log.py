"""Fronts and one log process (ADR 0093): the front encodes, encrypts and hashes texts, the process
numbers, chains, inserts and signs.

usage: python -m benchmarks.split_log log DATA SOCKET
       python -m benchmarks.split_log front DATA SOCKET NUMBER PORT
Rule: this is to measure; nothing here survives the death of the other end.
"""

import asyncio
import contextlib
import gc
import json
import select
import socket
import struct
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final
from unittest import mock

import msgspec

from appliance.audit import content, session, writer
from appliance.audit.entry import _ENCODER, SCHEMA, decode
from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles
from appliance.audit.log import AuditLog, Draft
from appliance.audit.merkle import leaf_hash
from appliance.clock import SystemClock
from appliance.errors import AuditRefused
from appliance.server import serve
from appliance.serving import recording
from appliance.types import Json, Receipt
from appliance.wiring import directory

_KEYS: Final = 1_024
_FEW: Final = 256
_HOLE: Final = msgspec.Raw(b"\0")  # in no JSON text
_HOLES: Final = ("epoch", "mono_us", "prev", "seq", "time_us")
"""The fields that the log process fills in, as a body has them in order."""
_FILLED: Final = (b"0", b"0", b'"%s"' % (b"0" * 64), b"0", b"0")
_BYTES: Final = 1 << 20
_LENGTH: Final = struct.Struct(">I")
Key = tuple[str, bytes]


class SealedEntry(msgspec.Struct, array_like=True):
    """An entry without the fields of its place: its body in pieces, its texts encrypted."""

    kind: str
    request: str | None
    intent: int | None
    pieces: list[bytes]
    texts: list[tuple[str, bytes, bytes]]
    contents: tuple[()] = ()


class Sent(msgspec.Struct, array_like=True):
    """What a front asks: entries to append, content keys, or another signing key."""

    number: int
    entries: list[SealedEntry] = []
    keys: bool = False
    epoch: bool = False


class Told(msgspec.Struct, array_like=True):
    """The answer: where the entries are, or why not, and keys."""

    number: int
    places: list[tuple[int, bytes]] = []
    why: str = ""
    keys: list[Key] = []


class Committed(msgspec.Struct, array_like=True):
    """The answers after one commit."""

    size: int
    told: list[Told]


_PACK: Final = msgspec.msgpack.Encoder()
_SENT: Final = msgspec.msgpack.Decoder(list[Sent])
_COMMITTED: Final = msgspec.msgpack.Decoder(Committed)


def sealed(draft: Draft, mode: str, take: Callable[[], Key], boot_id: str) -> SealedEntry:
    """The front's half; checked as the log's writer checks."""
    holes = dict.fromkeys(_HOLES, _HOLE)
    body: dict[str, Any] = {**draft.fields, **holes, "v": SCHEMA, "kind": draft.kind}
    body["boot_id"], mode = boot_id, draft.mode or mode
    texts = []
    if draft.contents:
        body["content"] = {"mode": mode}
    if draft.contents and mode != "off":
        key_id, dek = take()
        parts: dict[str, Json] = {}
        for name, text in draft.contents.items():
            kept = {"commitment": content.commitment(dek, key_id, name, text).hex()}
            if mode == "encrypted":
                locked = content.encrypt(dek, key_id, name, text)
                kept["ciphertext"] = locked.digest().hex()
                texts.append((name, locked.nonce, locked.ciphertext))
            parts[name] = dict(kept)
        body["content"] |= {"key": key_id, "parts": parts}
    pieces = _ENCODER.encode(body).split(b"\0")
    decode(_joined(pieces, _FILLED))
    request, intent = body.get("request_id"), body.get("intent")
    return SealedEntry(draft.kind, request, intent, pieces, texts)


def _joined(pieces: list[bytes], filled: Sequence[bytes]) -> bytes:
    return b"".join(map(bytes.__add__, pieces, (*filled, b"")))


class SealedWriter(writer.Writer):
    """The log process's half: a place for each entry."""

    def _add(self, batch: Any, drafts: Sequence[Any]) -> list[Any]:
        if not drafts or isinstance(drafts[0], Draft):
            return super()._add(batch, drafts)
        tail = batch.tail
        moment = self._moment(tail.moment)
        seq, prev = tail.frontier.size, tail.prev
        intents = writer._Intents(tail.open_intents)
        rows = []
        for one in drafts:
            place = {"kind": one.kind, "seq": seq, "request_id": one.request, "intent": one.intent}
            intents.follow(place)
            values: tuple[Json, ...] = (
                self.epoch.number, moment.mono_us, prev.hex(), seq, moment.time_us,
            )  # fmt: skip
            raw = _joined(one.pieces, [msgspec.json.encode(value) for value in values])
            rows.append((seq, prev, leaf_hash(raw), raw))
            batch.contents += [(seq, *text) for text in one.texts]
            seq, prev = seq + 1, rows[-1][2]
        intents.apply()
        for row in rows:
            batch.nodes += tail.frontier.append(row[2])
        tail.prev, tail.moment = prev, moment
        batch.leaves += rows
        return rows


class _Stream:
    """Frames over a socket: a length, then MessagePack."""

    def __init__(self, end: socket.socket) -> None:
        self.end, self._rest = end, b""

    def send(self, document: object) -> None:
        data = _PACK.encode(document)
        self.end.sendall(_LENGTH.pack(len(data)) + data)

    def received(self) -> Iterator[bytes]:
        """The whole frames received so far; EOFError at the end."""
        if not (data := self.end.recv(_BYTES)):
            raise EOFError
        self._rest += data
        while len(self._rest) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._rest)[0]
            if len(self._rest) < end:
                return
            yield self._rest[_LENGTH.size : end]
            self._rest = self._rest[end:]


class _LogProcess:
    """One thread: what waits after a commit is the next one."""

    def __init__(self, data: Path, path: Path) -> None:
        with mock.patch.object(session, "Writer", SealedWriter):
            self._log = session.Session.begin(
                LogFiles(data / "audit"),
                mode="encrypted",
                clock=SystemClock(),
                limits=EpochLimits(),
            )
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._fronts: dict[int, _Stream] = {}
        self._waiting: list[tuple[_Stream, Sent]] = []
        self.counts = Counter[str]()

    def run(self) -> None:
        served = -1
        while served or self._fronts:
            self._read(None)
            served = self._serve() if self._waiting else len(self._fronts)
        self._log.close()

    def _read(self, seconds: float | None) -> None:
        for number, _ in self._poll.poll(seconds):
            if number == self._listener.fileno():
                end, _ = self._listener.accept()
                self._fronts[end.fileno()] = _Stream(end)
                self._poll.register(end, select.EPOLLIN)
                continue
            front = self._fronts[number]
            try:
                for frame in front.received():
                    self._waiting += [(front, sent) for sent in _SENT.decode(frame)]
            except (EOFError, ConnectionError):
                self._poll.unregister(number)
                del self._fronts[number]

    def _serve(self) -> int:
        taken, self._waiting = self._waiting, []
        told: dict[_Stream, list[Told]] = {front: [] for front, _ in taken}
        for front, sent in taken:
            if sent.keys:
                self._log.keyring.ensure(_KEYS)
                keys = [self._log.keyring.take() for _ in range(_KEYS)]
                told[front].append(Told(sent.number, keys=keys))
            elif sent.epoch:
                self._log.commit([], "start")
                told[front].append(Told(sent.number))
        kept = [(front, sent) for front, sent in taken if sent.entries]
        if kept:
            groups: Any = [sent.entries for _, sent in kept]
            for (front, sent), found in zip(kept, self._log.commit(groups), strict=True):
                told[front].append(
                    Told(sent.number, why=str(found))
                    if isinstance(found, AuditRefused)
                    else Told(sent.number, [(one.seq, one.leaf) for one in found])
                )
            self.counts += Counter(commits=1, entries=sum(map(len, groups)))
        for front, some in told.items():
            with contextlib.suppress(ConnectionError):
                front.send(Committed(self._log.writer.size, some))
        self._log.writer.tidy(spare=False)
        return len(taken)


class SocketLog(AuditLog):
    """The log as a front sees it; until a loop runs each call waits for its answer."""

    def __init__(self, path: str, mode: str) -> None:
        self._held, self.people, self._content = {}, {}, mode
        self._stream = _Stream(socket.socket(socket.AF_UNIX))
        self._stream.end.connect(path)
        self._numbers, self._sent = 0, list[Sent]()
        self._futures: dict[int, Future[tuple[Receipt, ...]]] = {}
        self._keys = deque[Key]()
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._guard = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._entries = 0
        self._ask(keys=True)

    def append(self, *drafts: Draft) -> "Future[tuple[Receipt, ...]]":
        with self._guard:
            if len(self._keys) == _FEW:
                self._ask(keys=True)
            made = [sealed(d, self._content, self._keys.popleft, self._boot_id) for d in drafts]
            return self._ask(made)

    def new_epoch(self) -> "Future[tuple[Receipt, ...]]":
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._stream.end, self._hear)
        return self._ask(epoch=True)

    def check(self) -> None:
        """Work may begin."""

    latched = unwritable = alarm = property(lambda self: None)
    size = property(lambda self: self._entries)

    def close(self) -> None:
        self._stream.end.close()

    def _ask(
        self, entries: Sequence[SealedEntry] = (), **more: bool
    ) -> "Future[tuple[Receipt, ...]]":
        with self._guard:
            self._numbers += 1
            asked = self._futures[self._numbers] = Future()
            self._sent.append(Sent(self._numbers, list(entries), **more))
            if self._loop is None:
                self._send()
                while self._futures:
                    self._hear()
            elif len(self._sent) == 1:
                self._loop.call_soon_threadsafe(self._send)
        return asked

    def _send(self) -> None:
        with self._guard:
            sent, self._sent = self._sent, []
            self._stream.send(sent)

    def _hear(self) -> None:
        with self._guard:
            for frame in self._stream.received():
                heard = _COMMITTED.decode(frame)
                self._entries = heard.size
                for told in heard.told:
                    self._keys += told.keys
                    asked = self._futures.pop(told.number)
                    if told.why:
                        asked.set_exception(AuditRefused("audit_entry_invalid", told.why))
                    else:
                        asked.set_result(tuple(Receipt(*at, heard.size) for at in told.places))


async def _append(audit: AuditLog, draft: Draft) -> Receipt:
    """Without a thread to come from."""
    (receipt,) = await asyncio.wrap_future(audit.append(draft))
    return receipt


@contextlib.contextmanager
def _shared(address: str, port: int) -> Iterator[socket.socket]:
    """The kernel gives each connection to one of the fronts."""
    with socket.create_server((address, port), backlog=1024, reuse_port=True) as listener:
        yield listener


def front(data: Path, path: str, number: int, port: int) -> None:
    """Serve until a signal."""

    def opened(_: Path, *, content: str, **__: Any) -> SocketLog:
        return SocketLog(path, content)

    with contextlib.ExitStack() as stack:
        for place, name, other in (
            (AuditLog, "open", opened),
            (recording, "append", _append),
            (directory, "_lock", lambda *_: contextlib.nullcontext()),
            (serve, "_listen", _shared),
            (serve, "SOCKET", Path("run") / f"front-{number}.sock"),
        ):
            stack.enter_context(mock.patch.object(place, name, other))
        serve.serve(data, None, port)


def main(role: str, data: str, path: str, number: str = "", port: str = "") -> None:
    """Run one end."""
    if role == "front":
        front(Path(data), path, int(number), int(port))
        return
    gc.set_threshold(*serve._COLLECTED)
    keeper = _LogProcess(Path(data), Path(path))
    keeper.run()
    print(json.dumps(keeper.counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
