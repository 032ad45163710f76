"""Driving a server with a load, and what the answers say."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from benchmarks.generator import Answer
from benchmarks.loads import Ask, Group, Load, completion
from benchmarks.machine import CHECKOUT
from benchmarks.servers import SLOTS, BenchError, Server
from benchmarks.statistics import quantile

_WARM_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["a"],
    "properties": {"a": {"type": "boolean"}},
}


class Run(msgspec.Struct, frozen=True):
    """One load on one side, in figures. Times of tokens and requests are in milliseconds.

    Attributes:
        tokens_s: generated tokens per second of the whole load, prefill and ends included.
        documents_s: valid documents per second; 0 when none were asked for.
    """

    side: str
    requests: int
    errors: int
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    tokens_s: float
    requests_s: float
    documents_s: float
    ttft_p50: float
    ttft_p95: float
    ttft_p99: float
    gap_p50: float
    gap_p95: float
    gap_p99: float
    latency_p50: float
    latency_p95: float
    late_max: float
    first_error: str = ""


def summarise(side: str, answers: Sequence[Answer], *, documents: bool = False) -> Run:
    """The figures of a load."""
    ended = [a for a in answers if a.ended and not a.error]
    errors = [a.error for a in answers if a.error]
    if not ended:
        raise BenchError(f"{side}: no request ended; {errors[:1]}")
    seconds = max(a.ended for a in answers) - min(a.begun for a in answers)
    tokens = sum(a.completion_tokens for a in answers)
    ttft = [a.ttft * 1000 for a in ended if a.stamps]
    gaps = [(b - a) * 1000 for answer in ended for a, b in pairwise(answer.stamps)]
    latency = [a.seconds * 1000 for a in ended]
    return Run(
        side=side,
        requests=len(ended),
        errors=len(errors),
        seconds=seconds,
        prompt_tokens=sum(a.prompt_tokens for a in answers),
        completion_tokens=tokens,
        cached_tokens=sum(a.cached_tokens for a in answers),
        tokens_s=tokens / seconds,
        requests_s=len(ended) / seconds,
        documents_s=len(ended) / seconds if documents else 0.0,
        ttft_p50=quantile(ttft, 0.5),
        ttft_p95=quantile(ttft, 0.95),
        ttft_p99=quantile(ttft, 0.99),
        gap_p50=quantile(gaps, 0.5),
        gap_p95=quantile(gaps, 0.95),
        gap_p99=quantile(gaps, 0.99),
        latency_p50=quantile(latency, 0.5),
        latency_p95=quantile(latency, 0.95),
        late_max=max(a.late for a in answers) * 1000,
        first_error=errors[0] if errors else "",
    )


def load_of(server: Server, asks: Iterable[Ask], *, concurrency: int = SLOTS) -> Load:
    """A load of one app."""
    group = Group("app", server.key, list(asks), concurrency)
    return Load("127.0.0.1", server.port, [group])


def start_generator(load: Load) -> subprocess.Popen[bytes]:
    """The generator process, begun with its load; for `answers_of`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.generator"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(load))
    process.stdin.close()
    process.stdin = None
    return process


def answers_of(process: subprocess.Popen[bytes]) -> list[Answer]:
    """Wait for a generator."""
    with process:
        output, _ = process.communicate()
    if process.returncode:
        raise BenchError(f"the load generator ended with {process.returncode}")
    try:
        return msgspec.json.decode(output, type=list[Answer])
    except msgspec.DecodeError as error:
        raise BenchError(f"the load generator wrote {len(output)} bytes: {error}") from error


def drive(load: Load) -> list[Answer]:
    """Run a load in a process of its own."""
    return answers_of(start_generator(load))


def warm_up(server: Server) -> None:
    """Two small requests, so that both sides have made what is made at first use."""
    constrained = completion("Yes or no", 16, json_schema=_WARM_SCHEMA)
    del constrained["ignore_eos"]
    asks = [Ask(completion("Hello there", 4)), Ask(constrained)]
    for answer in drive(load_of(server, asks, concurrency=1)):
        if answer.error:
            raise BenchError(f"{server.side} does not answer: {answer.error}")
