"""A flood of bad requests from many addresses through the real listener: few rows, all counted."""

import asyncio
import re
import threading
from pathlib import Path

import httpx
import pytest

from appliance.auth.rejected import SOURCES
from tests.api.admin.lab import make_lab
from tests.cli.conftest import run_command
from tests.cli.test_serve import start

ADDRESSES = 200
AT_ONCE = 8
PIPELINED = 50
WRONG = [
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-wrong\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    b"PUT /no/such/path HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
]
LARGEST_ROW = 16 << 10  # bytes on disk, with its place in tables, indexes and tree


async def flood(port: int, number: int) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(address: str, count: int) -> None:
        async with gate:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(address, 0)
            )
            for begin in range(0, count, PIPELINED):
                asked = min(PIPELINED, count - begin)
                writer.write(b"".join(WRONG[n % len(WRONG)] for n in range(asked)))
                for _ in range(asked):
                    head = await reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 401 "), head
                    length = re.search(rb"content-length: (\d+)", head)
                    assert length
                    await reader.readexactly(int(length[1]))
            writer.close()

    sources = [f"127.0.{n // 100}.{n % 100 + 2}" for n in range(ADDRESSES)]
    await asyncio.gather(*(one(source, number // ADDRESSES) for source in sources))


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_flood_of_bad_requests_is_a_few_rows(tmp_path: Path, number: int) -> None:
    data = make_lab(tmp_path).data
    made = run_command("key", "create", "good", "--json", data=data).document
    before = size(data / "audit")
    with start(data) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "listening" in line)
        found = re.search(r":(\d+) ", said)
        assert found
        listener = threading.Thread(target=process.stderr.read)
        listener.start()
        asyncio.run(flood(int(found[1]), number))
        url, key = f"http://127.0.0.1:{found[1]}/v1/models", {"x-api-key": made["secret"]}
        assert httpx.get(url, headers=key).status_code == 200  # from one of those addresses
        process.terminate()
        assert process.wait(120) == 0
        listener.join()
    assert run_command("audit", "verify", "--json", data=data).document["ok"]
    search = ("audit", "search", "--kind", "counted", "--limit", "1000", "--json")
    rows = [entry["body"] for entry in run_command(*search, data=data).document["entries"]]
    refused = [row for row in rows if "invalid_api_key" in row["codes"]]
    assert sum(row["codes"]["invalid_api_key"] for row in refused) == number  # none is lost
    minutes = {row["since_us"] // 60_000_000 for row in rows}
    assert len(rows) <= (SOURCES + 1) * len(minutes)
    assert size(data / "audit") - before <= len(rows) * LARGEST_ROW
