"""A mixed load beside one attacker of each kind: no innocent key is refused, and memory is flat.

`SOAK_REQUESTS` sets the length of the long version. What it saw goes to the standard output
(`-s`): sizes at rest, and what small requests of another app took in each round. The first round
is without attackers, and a quarter as long. The load checks each of its answers, so that a
refusal of an innocent key fails the test.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.conftest import EMBEDDER, Live, live
from tests.system.attackers import ATTACKS, attacked, figures, small
from tests.system.lan_load import Load
from tests.system.test_lan_soak import CONFIG, DATABASES, PATIENT, Size, answers, check_quotas, rest

PAUSE_S = 0.1


@contextlib.contextmanager
def probed(server: Live, times: list[float]) -> Iterator[None]:
    """Another app sends small requests, one after the other."""
    over = threading.Event()
    failed: list[BaseException] = []

    def probe() -> None:
        headers = {"authorization": f"Bearer {server.api_key}"}
        with httpx.Client(base_url=server.base_url, headers=headers, timeout=600) as client:
            try:
                while not over.wait(PAUSE_S):
                    times.append(small(client))
            except BaseException as error:
                failed.append(error)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert not failed, failed


def soak(directory: Path, models: dict[str, Path], count: int, rounds: int) -> None:
    """The load once without attackers, then in rounds beside them."""
    each = count // rounds
    seen: Counter[tuple[str, int]] = Counter()
    sizes: list[Size] = []
    with live(directory, models["smol"], CONFIG, {EMBEDDER: models[EMBEDDER]}, PATIENT) as server:
        secrets = [
            server.run("key", "create", f"attacker {number}", "--json").document["secret"]
            for number in range(len(ATTACKS))
        ]
        load = Load.of(server)
        asyncio.run(load.run(range(-max(20, count // 20), 0)))
        for number in range(rounds + 1):
            times: list[float] = []
            with contextlib.ExitStack() as stack:
                if number:
                    stack.enter_context(attacked(server.base_url, secrets, seen))
                stack.enter_context(probed(server, times))
                first = number * each
                asyncio.run(load.run(range(first, first + (each if number else each // 4))))
            sizes.append(asyncio.run(rest(server, load)))
            took = figures(times) if len(times) > 1 else f"{times}"
            sys.stdout.write(f"round {number}: {took} ms of {len(times)}; {sizes[-1]}\n")
            sys.stdout.flush()
        sys.stdout.write(f"attacks {dict(sorted(seen.items()))}\n")
        data = Path(server.run("status", "--json").document["data"])
        assert {name for name, _ in seen} == set(ATTACKS)
        assert not [status for status in answers(data) if status.startswith("5")]
        if load.seen["many requests", "200"] and count > 1000:
            check_quotas(load)
        assert sizes[-1].descriptors <= sizes[0].descriptors + DATABASES, sizes
        # In a short run everything is still growing to its size.
        for name, kib in sizes[-1].kib.items() if rounds > 3 else ():
            assert kib <= sizes[1].kib[name] * 1.05 + 4096, (name, sizes)
        report = server.run("audit", "verify", "--json").document
        assert report["ok"], report["problems"]


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("count", "rounds"), [(40, 1), (int(os.environ.get("SOAK_REQUESTS", "5000")), 5)]
)
def test_attackers_take_nothing_from_the_others(
    tmp_path: Path, default_model_path: Path, embedder_path: Path, count: int, rounds: int
) -> None:
    soak(tmp_path, {"smol": default_model_path, EMBEDDER: embedder_path}, count, rounds)
