"""In reproducible mode an answer is the same whatever its neighbours do, leave or send."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI

from tests.smol import ID
from tests.system.conftest import Server

pytestmark = pytest.mark.xdist_group("the servers of tests/system")


@dataclass(frozen=True)
class Ask:
    """A completion; `leaves` after so many chunks, or stays to the end."""

    app: int
    prompt: str
    seed: int
    temperature: float
    max_tokens: int
    leaves: int | None = None


def asks(count: int) -> Iterator[Ask]:
    """Short and long prompts, greedy and seeded, of two apps; some clients leave."""
    choose = random.Random(20)
    for number in range(count):
        yield Ask(
            app=number % 2,
            prompt=f"Report {number}. " + "The pump leaks. " * choose.choice([0, 1, 10, 40]),
            seed=number,
            temperature=choose.choice([0.0, 0.8]),
            max_tokens=choose.randint(4, 16),
            leaves=choose.choice([None, None, None, 1]),
        )


async def answer(clients: list[AsyncOpenAI], ask: Ask) -> str:
    text, chunks = "", 0
    stream = await clients[ask.app].completions.create(
        model=ID, prompt=ask.prompt, seed=ask.seed, temperature=ask.temperature, stream=True,
        max_tokens=ask.max_tokens, extra_body={"ignore_eos": True},
    )  # fmt: skip
    finish = None
    async for chunk in stream:
        text, chunks = text + chunk.choices[0].text, chunks + 1
        finish = chunk.choices[0].finish_reason
        if chunks == ask.leaves:
            await stream.close()
            return text
    assert finish == "length"
    return text


async def test_answers_under_a_load_that_comes_and_goes_are_those_of_an_idle_server(
    live_server: Server,
) -> None:
    clients = [
        AsyncOpenAI(base_url=live_server.base_url, api_key=secret, max_retries=0)
        for secret in live_server.secrets
    ]
    wanted = list(asks(12))
    staying = [a for a in wanted if a.leaves is None]
    assert 6 <= len(staying) < len(wanted)
    alone = {ask: await answer(clients, ask) for ask in staying}
    together = await asyncio.gather(*(answer(clients, ask) for ask in wanted))
    for ask, text in zip(wanted, together, strict=True):
        if ask.leaves is None:
            assert text == alone[ask]
    assert len(set(alone.values())) == len(staying)  # the comparison can fail
    for client in clients:
        await client.close()
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(live_server.idle):
            pass


async def test_one_app_does_not_see_the_receipts_of_another(live_server: Server) -> None:
    with live_server.client(0) as one, live_server.client(1) as two:
        body = {"model": ID, "prompt": "x", "max_tokens": 1}
        request = one.post("/completions", json=body).headers["x-request-id"]
        assert one.get(f"/receipts/{request}").status_code == 200
        assert two.get(f"/receipts/{request}").status_code == 404


async def test_no_socket_leads_anywhere_but_loopback(live_server: Server) -> None:
    """Server and worker, while an answer runs: what the kernel lists for their network."""
    client = AsyncOpenAI(base_url=live_server.base_url, api_key=live_server.secrets[0])
    stream = await client.completions.create(
        model=ID, prompt="x", max_tokens=50, stream=True, extra_body={"ignore_eos": True}
    )
    await anext(aiter(stream))
    inodes = set()
    for pid in (live_server.process.pid, live_server.worker()["pid"]):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    peers = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                peers += [fields[1].split(":")[0], fields[2].split(":")[0]]
    assert peers, "the control: our own connection is listed"
    # 127.0.0.1 as the kernel prints it, and the peer of a socket that only listens.
    assert set(peers) <= {"0100007F", "00000000"}
    await stream.close()
    await client.close()


def test_a_wrong_key_learns_nothing(live_server: Server) -> None:
    client = openai.OpenAI(base_url=live_server.base_url, api_key="sk-x", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        client.models.list()
    client.close()
