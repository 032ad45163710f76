"""A long mixed load beside one attacker of each kind: no innocent key is refused, memory is flat.

The load checks each of its answers, so that a refusal of an innocent key fails the test.
`SOAK_REQUESTS` sets the length; a short one is in `test_lan_soak.py`. Results go to the standard
output (`-s`), and with `SOAK_RESULTS=1` to `docs/soak-results.md`.
"""

import asyncio
import contextlib
import itertools
import os
import statistics
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.conftest import EMBEDDER, Live
from tests.system.attackers import attacked, figures, small
from tests.system.attacks import ATTACKS, unreached
from tests.system.test_lan_soak import (
    BESIDE,
    DATABASES,
    RESULTS,
    Size,
    attackers,
    check_answers,
    check_quotas,
    rest,
    scene,
)

PAUSE_S = 0.1
ALONE = 6  # a round without attackers has so many times fewer requests


@contextlib.contextmanager
def probed(server: Live, times: list[float]) -> Iterator[None]:
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
    each = count // rounds
    sizes: list[Size] = []
    alone: list[float] = []
    beside: list[float] = []
    with scene(directory, models) as (server, load):
        secrets = attackers(server)
        seen: Counter[tuple[str, int]] = Counter()
        numbers = itertools.count()
        asyncio.run(load.run(range(-count // 20, 0)))
        for _ in range(rounds):
            with probed(server, alone):
                asyncio.run(load.run(range(-each // ALONE, 0)))
            with attacked(server.base_url, secrets, seen), probed(server, beside):
                asyncio.run(load.run(itertools.islice(numbers, each)))
            sizes.append(asyncio.run(rest(server, load)))
            say(f"alone {figures(alone)}, beside attackers {figures(beside)}; {sizes[-1]}")
        report(sizes, alone, beside, seen)
        asyncio.run(load.batched())
        check_quotas(load)
        assert sizes[-1].descriptors <= sizes[0].descriptors + DATABASES, sizes
        check_memory([size.kib for size in sizes])
        assert unreached(seen) == [], seen
        check_answers(server)


def report(
    sizes: list[Size], alone: list[float], beside: list[float], seen: Counter[tuple[str, int]]
) -> None:
    """Print the results, and write them where they are wanted."""
    names = list(sizes[0].kib)
    statuses: defaultdict[str, list[str]] = defaultdict(list)
    for (kind, status), number in sorted(seen.items()):
        statuses[kind].append(f"{status}: {number}")
    lines = [
        f"{sizes[-1].requests} requests of honest apps in {sizes[-1].seconds} s, beside one",
        f"attacker of each kind. Another app's small requests: alone {figures(alone)} ms, beside",
        f"them {figures(beside)} ms, p95 {p95(beside) / p95(alone):.2f} times.",
        "",
        "| attacker | statuses |",
        "|---|---|",
        *(f"| {kind} | {', '.join(statuses[kind])} |" for kind in ATTACKS),
        "",
        f"| requests | {' | '.join(names)} | descriptors |",
        f"|---|{'---|' * len(names)}---|",
        *(
            f"| {size.requests} | {' | '.join(str(size.kib[name]) for name in names)}"
            f" | {size.descriptors} |"
            for size in sizes
        ),
    ]
    text = "\n".join(lines) + "\n"
    say(text)
    if os.environ.get("SOAK_RESULTS"):
        head, _, _ = RESULTS.read_text("utf-8").partition(BESIDE)
        RESULTS.write_text(f"{head}{BESIDE}\n{text}", "utf-8")


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def check_memory(sizes: list[dict[str, int]]) -> None:
    """No process grows: the least of the later half is no more than the most of the earlier one.

    What an attacker's prompt took a moment ago may not be given back yet.
    """
    half = len(sizes) // 2
    for name in sizes[0]:
        before = max(kib[name] for kib in sizes[:half])
        assert min(kib[name] for kib in sizes[half:]) <= before * 1.05 + 4096, (name, sizes)


def test_growth_is_noticed_and_a_peak_is_none() -> None:
    check_memory([{"server": kib << 10} for kib in (200, 210, 205, 290, 209, 212)])
    with pytest.raises(AssertionError):
        check_memory([{"server": kib << 10} for kib in (200, 210, 220, 240, 250, 260)])


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@pytest.fixture(scope="module")
def models(default_model_path: Path, embedder_path: Path) -> dict[str, Path]:
    return {"smol": default_model_path, EMBEDDER: embedder_path}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_five_thousand_requests_beside_attackers(tmp_path: Path, models: dict[str, Path]) -> None:
    soak(tmp_path, models, int(os.environ.get("SOAK_REQUESTS", "5000")), 6)
