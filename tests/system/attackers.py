"""Apps that send what costs most, and the times of another app's small requests beside them.

usage: python -m tests.system.attackers [--requests N] [--kind KIND]
       python -m tests.system.attackers --kind KIND --at URL < SECRET

Prints p50 and p95 of the small requests alone, and beside one attacker of each kind or as many of
one kind, in milliseconds. With --at it is one attacker until its input ends, and prints its
statuses.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx

from appliance.app import Services
from installer.bundle.cache import cache_root
from installer.bundle.default_model import default_model, obtain
from tests.system.attacks import ATTACKS, Attacker, asked
from tests.system.conftest import Server, serving

CONFIG: Final = """
[batches]
max_mib_per_key = 16
[models.default]
n_ctx = 2048
slots = 4
"""
ROUNDS: Final = 5


def small(client: httpx.Client) -> float:
    begun = time.perf_counter()
    reply = client.post(
        "/chat/completions",
        json=asked(messages=[{"role": "user", "content": "Hello"}], max_tokens=8),
    )
    assert reply.status_code == 200, reply.text
    return 1000 * (time.perf_counter() - begun)


@contextlib.contextmanager
def attacked(
    base_url: str,
    secrets: Sequence[str],
    seen: Counter[tuple[str, int]],
    kinds: Sequence[str] = tuple(ATTACKS),
    most: int | None = None,
) -> Iterator[None]:
    """Attackers that end after the block, or earlier after `most` rounds; after one at least."""
    over = threading.Event()
    failed: list[BaseException] = []

    def attack(name: str, secret: str) -> None:
        key = {"authorization": f"Bearer {secret}"}
        root = base_url.removesuffix("/v1")
        with httpx.Client(base_url=root, timeout=600, headers=key) as client:
            rounds = ATTACKS[name].rounds(Attacker(client, name, seen))
            try:
                with contextlib.closing(rounds):
                    next(rounds)
                    for _ in itertools.islice(rounds, None if most is None else most - 1):
                        if over.is_set():
                            return
            except BaseException as error:
                failed.append(error)

    threads = [
        threading.Thread(target=attack, args=pair) for pair in zip(kinds, secrets, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed, failed


@contextlib.contextmanager
def apart(base_url: str, secret: str, seen: Counter[tuple[str, int]], kind: str) -> Iterator[None]:
    """An attacker as `attacked`, in a process of its own: it holds up nobody who measures here."""
    command = [sys.executable, "-m", "tests.system.attackers", "--kind", kind, "--at", base_url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{secret}\n")
        process.stdin.flush()
        assert process.stdout.readline(), "the attacker did not begin"
        try:
            yield
        finally:
            told, _ = process.communicate()
    assert process.returncode == 0
    for status, number in json.loads(told).items():
        seen[kind, int(status)] += number


def attack_until_told(base_url: str, kind: str) -> None:
    seen: Counter[tuple[str, int]] = Counter()
    with attacked(base_url, [sys.stdin.readline().strip()], seen, [kind]):
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        sys.stdin.read()
    sys.stdout.write(json.dumps({status: number for (_, status), number in seen.items()}))


@contextlib.contextmanager
def scene(directory: Path, model: Path) -> Iterator[tuple[Server, list[str]]]:
    secrets: list[str] = []

    def keys(services: Services) -> None:
        file = services.data / "appliance.toml"
        text = file.read_text("utf-8")
        file.write_text(
            text.replace("[server]\n", "[server]\nmcp = true\npeople = true\n"), "utf-8"
        )
        secrets.extend(services.keys.create(f"attacker {n}")[1] for n in range(len(ATTACKS)))

    with serving(directory, model, CONFIG, keys) as server:
        yield server, secrets


def figures(times: list[float]) -> str:
    if len(times) < 2:
        return f"{times}"
    return f"p50 {statistics.median(times):.0f} p95 {statistics.quantiles(times, n=20)[-1]:.0f}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--kind", choices=ATTACKS)
    parser.add_argument("--at")
    options = parser.parse_args()
    if options.at:
        attack_until_told(options.at, options.kind)
        return 0
    kinds = [options.kind] * len(ATTACKS) if options.kind else list(ATTACKS)
    model = obtain(cache_root() / "models", default_model())
    seen: Counter[tuple[str, int]] = Counter()
    alone: list[float] = []
    beside: list[float] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        scene(Path(directory), model) as (server, secrets),
        server.client() as client,
    ):
        small(client)
        for _ in range(ROUNDS):
            alone += [small(client) for _ in range(options.requests // ROUNDS)]
            with attacked(server.base_url, secrets, seen, kinds):
                beside += [small(client) for _ in range(options.requests // ROUNDS)]
        restarts = server.worker()["restarts"]
    sys.stdout.write(f"alone  {figures(alone)}\nbeside {figures(beside)}\n")
    sys.stdout.write(f"restarts {restarts}; {dict(sorted(seen.items()))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
