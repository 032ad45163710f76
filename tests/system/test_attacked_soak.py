"""A long mixed load beside attackers, one kind after the other: no innocent key is refused, memory
is flat, and the times of the others are compared with those alone.

Next to each window with one attacker there is one as long without, so that the machine's own
changes meet both. Each kind comes twice, in another order. An app of its own probes; the load's
apps have as many requests at once as they may, so these wait for each other, and only all windows
together tell their times. The load checks each answer. `SOAK_REQUESTS` sets the number beside
attackers; a short load is in `test_lan_soak.py`. Results go to the standard output (`-s`), and with
`SOAK_RESULTS=1` to `docs/soak-results.md`; no time is asserted.
"""

import asyncio
import contextlib
import itertools
import math
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import httpx
import pytest

from tests.contract.conftest import EMBEDDER, Live
from tests.system.attackers import apart, small
from tests.system.attacks import ATTACKS, unreached
from tests.system.lan_load import HELD_BACK, KINDS, Load
from tests.system.test_lan_soak import (
    BESIDE,
    RESULTS,
    Size,
    attackers,
    check_answers,
    check_quotas,
    rest,
    scene,
)

PAUSE_S: Final = 0.1
PASSES: Final = 2
WANTED: Final = 2.0
SMALL, READ, REFUSAL = PROBES = ("a small answer", "a read", "a refusal")
BRIEF: Final = ((READ, "GET", "/models", 200), (REFUSAL, "POST", "/completions", 400))
CLASSES: Final = {
    **dict.fromkeys(PROBES, ()),
    "answers": (
        "chat", "stream", "completion", "response", "schema", "tool", "message", "state",
        "conversation", "receipt",
    ),
    "answers of priority batch": (HELD_BACK,),
    "embeddings": ("embedding",),
    "refusals": (
        "refused", "many requests", "many tokens", "other model", "bad key", "not HTTP", "not JSON",
    ),
    "reads, files, MCP": ("tokens", "poll", "file", "batch", "mcp"),
}  # fmt: skip
"""The kinds of requests whose times are told together, none for a probe. A client that leaves sets
its own time."""
Times: TypeAlias = dict[str, list[float]]
"""Milliseconds of the requests of each class."""


@dataclass(frozen=True)
class Window:
    """Part of a run; `kind` is the attacker's, "" without one."""

    kind: str
    times: Times


@contextlib.contextmanager
def probed(server: Live, times: Times) -> Iterator[None]:
    over = threading.Event()
    failed: list[BaseException] = []

    def probe() -> None:
        headers = {
            "authorization": f"Bearer {server.api_key}", "content-type": "application/json"
        }  # fmt: skip
        with httpx.Client(base_url=server.base_url, headers=headers, timeout=600) as client:
            try:
                while not over.wait(PAUSE_S):
                    times[SMALL].append(small(client))
                    for name, method, path, expected in BRIEF:
                        begun = time.perf_counter()
                        status = client.request(method, path, content=b"{").status_code
                        times[name].append(1000 * (time.perf_counter() - begun))
                        assert status == expected
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


def measured(server: Live, load: Load, numbers: Iterable[int], kind: str = "") -> Window:
    load.times.clear()
    probes: Times = {name: [] for name in PROBES}
    with probed(server, probes):
        asyncio.run(load.run(numbers))
    times = {name: [ms for k in kinds for ms in load.times[k]] for name, kinds in CLASSES.items()}
    return Window(kind, times | probes)


def order() -> list[str]:
    """The kinds, as often as each comes."""
    kinds = list(ATTACKS)
    return [kind for n in range(PASSES) for kind in random.Random(n).sample(kinds, len(kinds))]


def soak(directory: Path, models: dict[str, Path], count: int) -> None:
    kinds = order()
    each = -(-count // len(kinds))
    sizes: list[Size] = []
    with scene(directory, models) as (server, load):
        secrets = dict(zip(ATTACKS, attackers(server), strict=True))
        seen: Counter[tuple[str, int]] = Counter()
        numbers = itertools.count()
        asyncio.run(load.run(itertools.islice(numbers, max(24, each))))
        windows = [measured(server, load, itertools.islice(numbers, each))]
        for pair in zip(kinds[::2], kinds[1::2], strict=True):
            for kind in pair:
                with apart(server.base_url, secrets[kind], seen, kind):
                    windows.append(measured(server, load, itertools.islice(numbers, each), kind))
                sizes.append(asyncio.run(rest(server, load)))
            windows.append(measured(server, load, itertools.islice(numbers, each)))
            for kind in pair:
                say(f"{kind}: {told(windows[-4:], kind)}")
            say(f"{sizes[-1]}")
        report(windows, sizes, seen)
        asyncio.run(load.batched())
        check_quotas(load)
        check_flat([{"descriptors": size.descriptors} for size in sizes])
        check_flat([size.kib for size in sizes], 0.06)
        assert unreached(seen) == [], seen
        check_answers(server)


def pooled(windows: list[Window]) -> Times:
    return {name: [ms for w in windows for ms in w.times[name]] for name in CLASSES}


def beside_kind(windows: list[Window], kind: str) -> tuple[Times, Times]:
    """The times beside a kind, and those of the windows next to it without one."""
    places = [n for n, window in enumerate(windows) if window.kind == kind]
    around = [windows[n + by] for n in places for by in (-1, 1)]
    return pooled([windows[n] for n in places]), pooled([w for w in around if not w.kind])


def ratio(beside: list[float], alone: list[float]) -> str:
    return f"{p95(beside) / p95(alone):.2f}"


def told(windows: list[Window], kind: str) -> str:
    beside, alone = beside_kind(windows, kind)
    return ", ".join(f"{name} {ratio(beside[name], alone[name])}" for name in CLASSES)


def report(windows: list[Window], sizes: list[Size], seen: Counter[tuple[str, int]]) -> None:
    """Print the results, and write the first part of them where that is wanted."""
    text = "\n".join(results(windows, sizes)) + "\n"
    say("\n".join([text, *by_attacker(windows, seen)]))
    if os.environ.get("SOAK_RESULTS"):
        head, _, _ = RESULTS.read_text("utf-8").partition(BESIDE)
        RESULTS.write_text(f"{head}{BESIDE}\n{text}", "utf-8")


def results(windows: list[Window], sizes: list[Size]) -> Iterator[str]:
    alone = pooled([w for w in windows if not w.kind])
    beside = pooled([w for w in windows if w.kind])
    number = sum(len(times) for times in beside.values())
    yield f"{number} requests beside {len(ATTACKS)} attackers in turn; milliseconds, p95"
    yield "beside / alone (`test_attacked_soak.py`)."
    yield ""
    yield "| requests | alone p50, p95 | beside p50, p95 | times |"
    yield "|---|---|---|---|"
    for name in CLASSES:
        figures = " | ".join(f"{p50(t):.0f}, {p95(t):.0f}" for t in (alone[name], beside[name]))
        yield f"| {name} | {figures} | {ratio(beside[name], alone[name])} |"
    yield ""
    yield f"More than {WANTED} times: {'; '.join(above(windows)) or 'none'}."
    yield ""
    names = list(sizes[0].kib)
    yield f"| requests | {', '.join(names)} (KiB) |"
    yield "|---|---|"
    for size in (sizes[0], sizes[len(sizes) // 2], sizes[-1]):
        yield f"| {size.requests} | {', '.join(str(size.kib[name]) for name in names)} |"


def above(windows: list[Window]) -> Iterator[str]:
    """The probes that took too long beside a kind, with the factor."""
    for kind in ATTACKS:
        beside, alone = beside_kind(windows, kind)
        for name in PROBES:
            if p95(beside[name]) > WANTED * p95(alone[name]):
                yield f"{name} beside {kind} {ratio(beside[name], alone[name])}"


def by_attacker(windows: list[Window], seen: Counter[tuple[str, int]]) -> Iterator[str]:
    yield f"| attacker | statuses | {' | '.join(CLASSES)} |"
    yield f"|---|---|{'---|' * len(CLASSES)}"
    statuses: defaultdict[str, list[str]] = defaultdict(list)
    for (kind, status), number in sorted(seen.items()):
        statuses[kind].append(f"{status}: {number}")
    for kind in ATTACKS:
        beside, alone = beside_kind(windows, kind)
        times = " | ".join(
            f"{p50(beside[n]):.0f}, {p95(beside[n]):.0f}: {ratio(beside[n], alone[n])}"
            for n in CLASSES
        )
        yield f"| {kind} | {', '.join(statuses[kind])} | {times} |"


def p50(times: list[float]) -> float:
    return statistics.median(times) if times else math.nan


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1] if len(times) > 1 else p50(times)


def check_flat(sizes: list[dict[str, int]], more: float = 0) -> None:
    """Nothing grows: the least of the later half is no more than the most of the earlier one.

    What an attacker's prompt took a moment ago may not be given back yet, and a connection to a
    database is kept once so many were needed at a time.
    """
    half = len(sizes) // 2
    for name in sizes[0]:
        before = max(size[name] for size in sizes[:half])
        assert min(size[name] for size in sizes[half:]) <= before * (1 + more), (name, sizes)


def test_growth_is_noticed_and_a_peak_is_none() -> None:
    check_flat([{"server": kib << 10} for kib in (200, 210, 205, 290, 209, 212)], 0.06)
    with pytest.raises(AssertionError):
        check_flat([{"server": kib << 10} for kib in (200, 210, 220, 240, 250, 260)], 0.06)
    check_flat([{"descriptors": number} for number in (49, 62, 62, 62)])
    with pytest.raises(AssertionError):
        check_flat([{"descriptors": number} for number in (49, 62, 63, 64)])


def test_each_kind_is_compared_with_the_windows_around_it() -> None:
    kinds = order()
    assert Counter(kinds) == dict.fromkeys(ATTACKS, PASSES)
    assert {k for classed in CLASSES.values() for k in classed} == KINDS.keys() - {"leave"} | {
        HELD_BACK
    }
    pairs = zip(kinds[::2], kinds[1::2], strict=True)
    windows = [
        Window(kind, {name: [20.0 + number] * 4 for name in CLASSES})
        for number, kind in enumerate(["", *(kind for pair in pairs for kind in (*pair, ""))])
    ]
    last = max(n for n, window in enumerate(windows) if window.kind == "messages")
    around = next(n for n in (last + 1, last - 1) if not windows[n].kind)
    found = f", {20 + last}: {(20 + last) / (20 + around):.2f} |"
    seen = Counter({("messages", 400): 3})
    (line,) = [line for line in by_attacker(windows, seen) if line.startswith("| messages |")]
    assert line.startswith("| messages | 400: 3 | ") and line.count(found) == len(CLASSES)
    assert not list(above(windows))
    windows[last].times[READ][:] = [1000.0] * 4
    (late,) = above(windows)
    assert late == f"a read beside messages {1000 / (20 + around):.2f}"
    text = "\n".join(results(windows, [Size(7, 8, {"server": 9}, 1, 1)]))
    assert f"More than {WANTED} times: {late}." in text


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@pytest.fixture(scope="module")
def models(default_model_path: Path, embedder_path: Path) -> dict[str, Path]:
    return {"smol": default_model_path, EMBEDDER: embedder_path}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_twenty_thousand_requests_beside_attackers(tmp_path: Path, models: dict[str, Path]) -> None:
    soak(tmp_path, models, int(os.environ.get("SOAK_REQUESTS", "20000")))
