"""Three appliances over lines that are late or lose: what goes on, and what is refused.

A relay stands in for the lines: what passes is two seconds late each way, or waits as if TCP sent
it again, or its connection breaks.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import httpx
import pytest

from appliance.app import Services
from tests.peers.cables import CANARY, TOKENS, limited, load_approved
from tests.peers.site_servers import SiteServer, Where, servers, until
from tests.ports import free_port
from tests.site import MODEL, approve, signed_model
from tests.smol import quiet

LATE_S, LOSS = 2.0, 0.3
BREAKS = 0.01
"""Of what is sent again, breaks its connection."""
AGAIN_S = 0.2
"""Until TCP sends a lost segment again, and twice as long each further time."""

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(1_800)]


class Line:
    """The line to one appliance."""

    def __init__(self, to: int) -> None:
        self.port, self._to, self._random = free_port(), to, Random(to)
        self.late_s, self.loss = 0.0, 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as ends:
            ends.callback(writer.transport.abort)
            far, there = await asyncio.open_connection("127.0.0.1", self._to)
            ends.callback(there.transport.abort)
            await asyncio.gather(self._carry(reader, there), self._carry(far, writer))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        under_way = asyncio.Queue[tuple[float, bytes]]()

        async def read() -> None:
            data = b"begin"
            while data:
                data = await source.read(1 << 14)
                under_way.put_nowait((time.monotonic() + self._waits(), data))

        async def write() -> None:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - time.monotonic())
                if not data:
                    return sink.close()
                if self._random.random() < self.loss * BREAKS:
                    raise ConnectionResetError
                sink.write(data)
                await sink.drain()

        await asyncio.gather(read(), write())

    def _waits(self) -> float:
        waits, again = self.late_s, AGAIN_S
        while self._random.random() < self.loss:
            waits, again = waits + again, 2 * again
        return waits


@contextlib.contextmanager
def running(lines: list[Line]) -> Iterator[None]:
    ready = threading.Event()
    ends: list[Callable[[], object]] = []

    async def main() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(over.set))
        async with contextlib.AsyncExitStack() as stack:
            for line in lines:
                server = await asyncio.start_server(line.serve, "127.0.0.1", line.port)
                stack.callback(server.close)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        ends[0]()
        thread.join()


def refusal(one: SiteServer, secret: str) -> str:
    """The code of a request that is refused; "" for an answer."""
    reply = httpx.post(
        f"{one.url}/v1/completions", json={"model": MODEL, "prompt": CANARY, "max_tokens": 1},
        headers={"authorization": f"Bearer {secret}"}, verify=one.trust, timeout=60,
    )  # fmt: skip
    return "" if reply.status_code == 200 else str(reply.json()["error"]["code"])


def test_late_lines_and_lossy_ones(tmp_path: Path, narrow_path: Path) -> None:
    artifact = signed_model(tmp_path, narrow_path)

    def prepare(name: str, services: Services) -> None:
        services.lifecycle.import_model("uid:0", artifact, None, quiet)
        if name != "c":
            approve(services, MODEL, {"a": "Alice", "b": "Bob"}[name])

    ports = {name: free_port() for name in "abc"}
    lines = {name: Line(port) for name, port in ports.items()}

    def where(name: str) -> Where:
        return Where(port=ports[name], line=lines[name].port)

    def set_lines(late_s: float, loss: float) -> None:
        for line in lines.values():
            line.late_s, line.loss = late_s, loss

    set_lines(LATE_S, 0)
    audit = 'receipt = "mirrored"\nmirror_ms = 2000'
    with (
        running(list(lines.values())),
        servers(tmp_path, "abc", prepare, where, audit, null=True) as found,
    ):
        members = list(found.values())
        for one in members:  # approvals arrive
            load_approved(one)

        def cosigned() -> bool:
            told = [peer for one in members for peer in one.command("site", "status")["peers"]]
            assert not any(peer["differs"] for peer in told)
            return all(peer["cosigned"] and peer["seen"] for peer in told)

        until(cosigned)
        made = members[0].command("key", "new", "crm", "--any-model")
        until(lambda: all(one.admits(made["secret"]) for one in members))
        for one in members:  # a mirror answers after four seconds or more
            assert refusal(one, made["secret"]) == "mirror_unavailable"
        set_lines(0, LOSS)
        answered = 0

        def answers() -> bool:
            nonlocal answered
            for one in members:
                code = refusal(one, made["secret"])
                assert code in ("", "mirror_unavailable")
                answered += not code
            return answered >= 20

        until(answers)
        spent = limited(members)
        assert spent["least"] > 0 and spent["used"] <= 1.1 * TOKENS * spent["minutes"]
        members[2].command("key", "revoke", made["id"])
        until(lambda: not any(one.admits(made["secret"]) for one in members))
