"""A confined child of the server: started, listened to and ended, and how its end is read.

Rules: it is executed, never forked from the server's memory, in the root directory, with only the
environment and descriptors that are named and an error pipe. It confines itself (`engine.confine`)
before it reads what is not trusted. A failure leaves no child and no descriptor.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import BinaryIO, Final

from appliance.trust.bytes.sealed import write_all

_TAIL: Final = 4_096
"""Bytes of the error output that are kept."""
_WORDS: Final = 500
"""Bytes of it that a refusal tells."""


class Child:
    """A started process; `end` it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._over: Future[tuple[int, bytes]] = Future()
        watching = threading.Thread(target=self._watch, name=f"child-{process.pid}", daemon=True)
        try:
            watching.start()
        except RuntimeError:  # no thread is left
            process.kill()
            process.communicate()
            raise

    @classmethod
    def start(
        cls,
        module: str,
        *words: object,
        fds: Iterable[int] = (),
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.PIPE,
    ) -> "Child":
        return Child(
            _executed(module, words, fds, environment, stdin=stdin, stdout=stdout, stderr=stderr)
        )

    def _watch(self) -> None:
        """Wait in a thread: the event loop's own subprocesses hand the child descriptors, and a
        full error pipe would hold it up.
        """
        tail = b""
        if self.process.stderr is not None:
            with self.process.stderr as errors:
                while data := os.read(errors.fileno(), _TAIL):
                    tail = (tail + data)[-_TAIL:]
        self._over.set_result((self.process.wait(), tail))

    def wait(self) -> tuple[int, bytes]:
        """The exit status and the end of the error output; blocks."""
        return self._over.result()

    def ended(self) -> "asyncio.Future[tuple[int, bytes]]":
        loop = asyncio.get_running_loop()
        told: asyncio.Future[tuple[int, bytes]] = loop.create_future()

        def tell(over: "Future[tuple[int, bytes]]") -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits any more
                loop.call_soon_threadsafe(_set, told, over.result())

        self._over.add_done_callback(tell)
        return told

    def last_words(self) -> str:
        """Its end as the rest of a sentence; blocks until then."""
        status, errors = self.wait()
        text = errors.decode("utf-8", "replace").strip()
        return f"ended with {status}: {text[-_WORDS:] or 'it said nothing'}"

    def end(self) -> None:
        """Kill it, wait for it and close its ends; slow for one at the lowest priority."""
        self.process.kill()
        self.wait()


class TalkingChild(Child):
    """A child with two sockets, whose numbers are its arguments.

    Attributes:
        connection: for messages.
        descriptors: brings it descriptors of sealed files; does not block.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        connection: socket.socket,
        descriptors: socket.socket,
    ) -> None:
        super().__init__(process)
        self.connection, self.descriptors = connection, descriptors

    @classmethod
    def talking(cls, module: str) -> "TalkingChild":
        with contextlib.ExitStack() as handed, contextlib.ExitStack() as kept:
            pairs = []
            for _ in range(2):
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
                kept.callback(ours.close)
                handed.callback(theirs.close)
                pairs.append((ours, theirs))
            (connection, talks), (descriptors, takes) = pairs
            descriptors.setblocking(False)
            fds = (talks.fileno(), takes.fileno())
            made = TalkingChild(_executed(module, fds, fds), connection, descriptors)
            kept.pop_all()
        return made

    def end(self) -> None:
        self.connection.close()
        self.descriptors.close()
        super().end()


class OrderedChild(Child):
    """A child that gets an order in memory, and answers in a pipe."""

    def __init__(self, process: subprocess.Popen[bytes], answer: BinaryIO) -> None:
        super().__init__(process)
        self.answer = answer

    @classmethod
    def ordered(
        cls,
        module: str,
        order: bytes,
        *words: object,
        gives: Sequence[int],
        also: Iterable[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> "OrderedChild":
        """Raises as `_executed`.

        Args:
            gives: descriptors whose numbers are its first arguments; those of the order and of the
                pipe follow, then the words.
            also: descriptors that the order names.
        """
        with contextlib.ExitStack() as handed, contextlib.ExitStack() as kept:
            given = os.memfd_create("order", os.MFD_CLOEXEC)
            handed.callback(os.close, given)
            write_all(given, memoryview(order))
            os.lseek(given, 0, os.SEEK_SET)
            reads, writes = os.pipe2(os.O_CLOEXEC)
            handed.callback(os.close, writes)
            answer = kept.enter_context(os.fdopen(reads, "rb", buffering=1 << 20))
            told = (*gives, given, writes)
            process = _executed(module, (*told, *words), (*told, *also), environment)
            kept.pop_all()
        return OrderedChild(process, answer)

    def finish(self, most: int) -> bytes:
        """Its answer, at most so many bytes, once it has ended; blocks."""
        with self.answer:
            said = self.answer.read(most)
        self.wait()
        return said

    def end(self) -> None:
        super().end()
        self.answer.close()


def _executed(
    module: str,
    words: Iterable[object],
    fds: Iterable[int],
    environment: Mapping[str, str] | None = None,
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """A process that runs a module.

    Args:
        fds: besides the standard ones.

    Raises:
        OSError: the system has no process or descriptor left.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-W", "ignore", "-m", module, *map(str, words)],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=dict(environment or {}),
        cwd="/",
        pass_fds=tuple(fds),
    )


def _set(told: "asyncio.Future[tuple[int, bytes]]", over: tuple[int, bytes]) -> None:
    if not told.done():
        told.set_result(over)
