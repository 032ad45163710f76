"""A long load of every kind of request, good and bad, leaves the server as it was.

`SOAK_REQUESTS` sets the length of the long version. With `SOAK_RESULTS=1` results go to
`docs/soak-results.md`, after each round. The load may be stopped and continued (SIGSTOP): no time
of a client or of the server's listener runs out then.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import CHECKOUT
from tests.contract.conftest import EMBEDDER, Live, live
from tests.system.attackers import attacked
from tests.system.attacks import ATTACKS, unreached
from tests.system.lan_load import KINDS, RPM, TPM, WORD, Load, Unexplained, expect
from tests.system.test_soak import descriptors, resident_kib

CONFIG = """
[engine]
threads = 1
[models.default]
n_ctx = 2048
slots = 16
[batches]
max_mib_per_key = 16
after_seconds = 10
percent = 10
"""
"""Beside an attacker whose work never rests, apps of priority batch wait for `after_seconds`."""
LISTENER = (
    "mcp = true\npeople = true\nhead_seconds = 3600\nbody_seconds = 3600\nstall_seconds = 3600\n"
)
DATABASES = 10  # descriptors of connections to databases, which are opened as needed and kept
RESULTS = CHECKOUT / "docs" / "soak-results.md"
BESIDE = "\n## Beside attackers\n"
"""The part of the results that `test_attacked_soak.py` writes."""


@dataclass(frozen=True)
class Size:
    """Size of a server when nothing runs: resident KiB of each process, entries of the log."""

    requests: int
    seconds: int
    kib: dict[str, int]
    descriptors: int
    entries: int


async def rest(server: Live, load: Load) -> Size:
    while True:
        status = await asyncio.to_thread(lambda: server.run("status", "--json").document)
        workers = {w["model"]: w for w in status["workers"]}
        if not any(w["running"] or w["queued"] or w["kv_used"] for w in workers.values()):
            break
        await asyncio.sleep(0.1)
    assert not any(w["restarts"] for w in workers.values()), workers
    before: Counter[str] = Counter()
    while (now := descriptors(server.process.pid)) != before:  # connections are being closed
        before = now
        await asyncio.sleep(0.5)
    kib = {model: resident_kib(w["pid"]) for model, w in workers.items()}
    return Size(
        sum(load.seen.values()),
        round(time.monotonic() - load.begun),
        {"server": resident_kib(server.process.pid), **kib},
        now.total(),
        int(metrics(Path(status["data"]))["appliance_audit_entries"]),
    )


def metrics(data: Path) -> dict[str, float]:
    transport = httpx.HTTPTransport(uds=str(data / "run" / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://appliance") as client:
        lines = client.get("/metrics").text.splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def answers(data: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, count in metrics(data).items():
        if name.startswith("appliance_answers_total{"):
            found[name.rpartition('status="')[2][:3]] += int(count)
    return found


def in_the_clear(data: Path) -> list[Path]:
    """Files of a data directory, log files among them, that hold a text of a client."""
    found = []
    for path in data.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the server writes a file anew, or lets it go
            if path.is_file() and WORD.encode() in path.read_bytes():
                found.append(path)
    return found


@contextlib.contextmanager
def scene(directory: Path, models: dict[str, Path]) -> Iterator[tuple[Live, Load]]:
    with live(directory, models["smol"], CONFIG, {EMBEDDER: models[EMBEDDER]}, LISTENER) as server:
        yield server, Load.of(server)


def check(server: Live, load: Load, count: int, rounds: int) -> None:
    asyncio.run(load.run(range(-max(20, count // 20), 0)))
    asyncio.run(load.crowd())
    load.seen.clear()
    sizes = [asyncio.run(rest(server, load))]
    each = count // rounds
    for number in range(rounds):
        asyncio.run(load.run(range(number * each, (number + 1) * each)))
        sizes.append(asyncio.run(rest(server, load)))
        write(load, sizes)
    asyncio.run(load.batched())
    assert sum(load.seen.values()) == count
    assert {kind for kind, _ in load.seen} == set(KINDS)
    assert load.closed <= count / 100
    check_quotas(load)
    data = check_answers(server)
    assert sizes[-1].descriptors <= sizes[0].descriptors + DATABASES, sizes
    # In a short run everything is still growing to its size. What grows for the first ten
    # thousand requests is SQLite's page caches, 2 MiB for each connection.
    for name, kib in sizes[-1].kib.items() if rounds > 3 else ():
        assert kib <= sizes[1].kib[name] * 1.05 + 4096, (name, sizes)
    assert in_the_clear(data) == []
    # At most an intent and an outcome for a request and for a line, begin and end of a batch's
    # job; counts by the minute.
    assert sizes[-1].entries - sizes[0].entries <= 2.1 * count + 8 * len(load.batches)


def check_answers(server: Live) -> Path:
    status = server.run("status", "--json").document
    data = Path(status["data"])
    assert not any(worker["restarts"] for worker in status["workers"]), status
    assert not [code for code in answers(data) if code.startswith("5")]
    report = server.run("audit", "verify", "--json").document
    assert report["ok"], report["problems"]
    return data


def check_quotas(load: Load) -> None:
    minutes = 1 + (time.monotonic() - load.begun) / 60  # the first one's at once
    assert 0 < load.passed["few requests: requests"] <= RPM * minutes
    assert 0 < load.passed["few tokens: tokens"] <= TPM * minutes
    assert load.seen["many requests", "429"] and load.seen["many tokens", "429"]


def write(load: Load, sizes: list[Size]) -> None:
    if not os.environ.get("SOAK_RESULTS"):
        return
    names = list(sizes[0].kib)
    kinds = sorted(load.seen.items())
    lines = [
        "# A long mixed load, measured",
        "",
        "Written by `tests/system/test_lan_soak.py` with `SOAK_RESULTS=1`; the kinds of requests",
        "are in `tests/system/lan_load.py`. Every answer was checked, and none was unexplained.",
        "`left`: the client went away, as it was meant to.",
        "",
        f"{sum(load.seen.values())} requests in {sizes[-1].seconds} s; {load.closed} of them were",
        "sent again, because a kept connection had been closed meanwhile.",
        "",
        "| kind | became | requests |",
        "|---|---|---|",
        *(f"| {kind} | {became} | {number} |" for (kind, became), number in kinds),
        "",
        "At rest after so many requests (resident memory in KiB, open descriptors of the server,",
        "entries of the audit log):",
        "",
        f"| requests | seconds | {' | '.join(names)} | descriptors | entries |",
        f"|---|---|{'---|' * len(names)}---|---|",
        *(
            f"| {s.requests} | {s.seconds} | {' | '.join(str(s.kib[name]) for name in names)}"
            f" | {s.descriptors} | {s.entries} |"
            for s in sizes[::5]
        ),
    ]  # fmt: skip
    _, heading, beside = RESULTS.read_text("utf-8").partition(BESIDE)
    RESULTS.write_text("\n".join(lines) + f"\n{heading}{beside}", "utf-8")


@pytest.fixture(scope="module")
def models(default_model_path: Path, embedder_path: Path) -> dict[str, Path]:
    return {"smol": default_model_path, EMBEDDER: embedder_path}


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path], shallow_path: Path
) -> Iterator[tuple[Live, Load]]:
    with scene(tmp_path_factory.mktemp("soak"), models | {"smol": shallow_path}) as opened:
        yield opened


def test_a_short_load_of_everything_leaves_nothing_behind(site: tuple[Live, Load]) -> None:
    check(*site, 100, 1)


def test_a_short_load_is_answered_beside_one_attacker_of_each_kind(
    site: tuple[Live, Load],
) -> None:
    server, load = site
    seen: Counter[tuple[str, int]] = Counter()
    with attacked(server.base_url, attackers(server), seen, most=1):
        asyncio.run(load.run(range(20)))
    assert unreached(seen) == [], seen
    check_answers(server)


def test_an_attacker_that_meets_nothing_is_noticed() -> None:
    met = Counter({(name, next(iter(attack.reached))): 1 for name, attack in ATTACKS.items()})
    assert unreached(met) == []
    for name in ATTACKS:
        only_404 = Counter(
            {pair: n for pair, n in met.items() if pair[0] != name} | {(name, 404): 9}
        )
        assert unreached(only_404) == [name]


def attackers(server: Live) -> list[str]:
    names = [f"attacker {number}" for number in range(len(ATTACKS))]
    return [server.run("key", "create", name, "--json").document["secret"] for name in names]


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_twenty_thousand_requests_leave_nothing_behind(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    with scene(tmp_path, models) as (server, load):
        check(server, load, int(os.environ.get("SOAK_REQUESTS", "20000")), 10)


async def test_an_answer_that_is_not_the_expected_one_is_noticed() -> None:
    reply = httpx.Response(503, json={"error": {"code": "worker_lost"}})
    with pytest.raises(Unexplained):
        expect(reply, 200)
    with pytest.raises(Unexplained):
        expect(httpx.Response(200, json={}), 401, "invalid_api_key")


def test_a_text_in_the_clear_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "server.jsonl"
    log.write_text("{}\n")
    assert in_the_clear(tmp_path) == []
    log.write_text(f'{{"message": "{WORD} 7"}}\n')
    assert in_the_clear(tmp_path) == [log]
