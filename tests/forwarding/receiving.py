"""Receivers of the log for tests; they die on demand, and write down what they got.

A checker reads that: no gap, in order, repeats with the hash of the first.
"""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.ports import free_port

_FRAME = re.compile(rb"(\d+) ")
_FACTS = re.compile(r'seq="(\d+)" leaf="([0-9a-f]{64})"')


@dataclass
class Heap:
    """A receiver's disk: sequence number and leaf, in order of arrival."""

    kept: list[tuple[int, str]] = field(default_factory=list)

    def take(self, message: bytes) -> None:
        found = _FACTS.search(message.decode())
        assert found, message
        self.kept.append((int(found[1]), found[2]))

    def wrong(self) -> str:
        """What a checker finds: a gap, a wrong order, a repeat that differs; "" for nothing."""
        seen: dict[int, str] = {}
        for seq, leaf in self.kept:
            if seq in seen:
                if seen[seq] != leaf:
                    return f"entry {seq} came twice and differs"
                continue
            if seq != len(seen):
                return f"entry {seq} came where {len(seen)} is due"
            seen[seq] = leaf
        return ""

    @property
    def size(self) -> int:
        return len({seq for seq, _ in self.kept})


class SyslogSink:
    """A syslog receiver on a fixed loopback port.

    Args:
        lossy: bytes of each connection that it reads and loses when it dies.
    """

    def __init__(self, heap: Heap, context: ssl.SSLContext | None = None) -> None:
        self.heap, self._context = heap, context
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.port = free_port()  # taken again after each kill
        self._threads: list[threading.Thread] = []
        self.dropping = False

    def start(self) -> None:
        made = socket.create_server(("127.0.0.1", self.port))
        self._listener = made
        self._spawn(self._accept, made)

    def kill(self) -> None:
        """Die: connections are reset, what was read and not written is gone."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for thread in self._threads[:1]:
            thread.join(5)  # a connection that it has just taken dies, too
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._threads.clear()

    def _spawn(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            self._open.add(one)
            self._spawn(self._read, one)

    def _read(self, plain: socket.socket) -> None:
        waiting = b""
        try:
            one = plain
            if self._context is not None:
                one = self._context.wrap_socket(plain, server_side=True)
                self._open.add(one)
            with one:
                while data := one.recv(1 << 14):
                    if self.dropping:
                        continue
                    waiting += data
                    while (head := _FRAME.match(waiting)) and len(waiting) >= head.end() + int(
                        head[1]
                    ):
                        end = head.end() + int(head[1])
                        self.heap.take(waiting[head.end() : end])
                        waiting = waiting[end:]
        except OSError:
            return
        finally:
            self._open.discard(plain)


@contextlib.contextmanager
def sink(heap: Heap, context: ssl.SSLContext | None = None) -> Iterator[SyslogSink]:
    made = SyslogSink(heap, context)
    made.start()
    try:
        yield made
    finally:
        made.kill()
