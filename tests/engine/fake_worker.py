"""The other end of a `WorkerProcess`, played by the test: a socket and a process to be killed."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from appliance.engine import protocol
from appliance.workers.child import TalkingChild
from appliance.workers.process import WorkerProcess


@dataclass
class FakeWorker:
    process: WorkerProcess
    child: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    descriptors: socket.socket

    async def hear(self) -> protocol.ToWorker:
        (size,) = protocol.HEADER.unpack(await self.reader.readexactly(4))
        return protocol.decode_to_worker(await self.reader.readexactly(size))

    def say(self, message: protocol.FromWorker) -> None:
        self.say_raw(protocol.frame(message))

    def say_raw(self, data: bytes) -> None:
        self.writer.write(data)

    def die(self) -> None:
        self.child.kill()
        self.writer.close()


@contextlib.asynccontextmanager
async def fake_worker() -> AsyncIterator[FakeWorker]:
    ours, theirs = socket.socketpair()
    giving, taking = socket.socketpair()
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    reader, writer = await asyncio.open_connection(sock=ours)
    process = WorkerProcess(TalkingChild(child, ours, giving), reader, writer)
    process.ready = protocol.WorkerReady(64, 8, {}, 0)
    fake = FakeWorker(process, child, *await asyncio.open_connection(sock=theirs), taking)
    try:
        yield fake
    finally:
        fake.die()
        await process.closed()
        taking.close()
        if child.stdin:
            child.stdin.close()
        for end in (writer, fake.writer):
            end.close()
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()
