"""The requests to a server, which depend on their seed and nothing else.

Rules: both sides get the same bodies. Greedy and `ignore_eos`, except where a schema ends the text.
A prompt of n words is a little more than n tokens. One repetition shares no prompt with another.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from benchmarks.documents import GRAMMAR, SCHEMA

WORDS: Final = (
    *("pump", "valve", "motor", "sensor", "pressure", "bearing", "line", "fault", "report"),
    *("shift", "alarm", "torque", "seal", "belt", "hydraulic"),
)
SHARED_WORDS: Final = 1000
MODEL: Final = "bench"


class Ask(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        at: seconds after the start of the load; None as soon as it can.
        document: the answer is validated against the schema.
    """

    body: dict[str, Any]
    at: float | None = None
    document: bool = False


class Group(msgspec.Struct, frozen=True):
    """Requests of one app.

    Attributes:
        concurrency: how many are under way at once.
        background: repeat them until the other groups have ended, then hang up.
    """

    name: str
    key: str
    asks: list[Ask]
    concurrency: int
    background: bool = False


class Load(msgspec.Struct, frozen=True):
    """Orders for the generator process; it hangs up after `seconds`, or lets every request end."""

    host: str
    port: int
    groups: list[Group]
    seconds: float | None = None


def words(seed: str, count: int) -> str:
    """`count` words that depend on the seed alone."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(count))


def completion(prompt: str, max_tokens: int, **fields: Any) -> dict[str, Any]:
    """The body of a greedy, streamed completion of exactly `max_tokens` tokens."""
    return {
        "model": MODEL,
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        **fields,
    }


def chat(model: str, text: str, max_tokens: int) -> dict[str, Any]:
    """The body of a greedy, streamed chat answer of exactly `max_tokens` tokens."""
    body = {**completion("", max_tokens), "model": model}
    del body["prompt"]
    return {**body, "messages": [{"role": "user", "content": text}]}


def independent(count: int, run: int, *, prompt: int = 128, answer: int = 64) -> list[Ask]:
    """`indep`: prompts that share nothing."""
    return [Ask(completion(words(f"indep {run} {i}", prompt), answer)) for i in range(count)]


def staggered(count: int, run: int) -> list[Ask]:
    """`indep` whose first answers differ in length, so that the later ones do not come in waves."""
    return [
        msgspec.structs.replace(ask, body={**ask.body, "max_tokens": min(64, 8 * number)})
        for number, ask in enumerate(independent(count, run), 1)
    ]


def shared(count: int, run: int) -> list[Ask]:
    """`shared`: 1,000 words in common, 16 of their own, 32 tokens out."""
    prefix = words(f"prefix {run}", SHARED_WORDS)
    return [Ask(completion(f"{prefix} {words(f'shared {run} {i}', 16)}", 32)) for i in range(count)]


def poisson(rate: float, count: int, run: int) -> list[Ask]:
    """`poisson`: 40 % long prompts (900 words), 60 % short (64), 64 tokens out; `rate` is arrivals
    a second.
    """
    moments = itertools.islice(_arrivals(rate, f"arrivals {run}"), count)
    return [Ask(body, at) for at, body in zip(moments, mixed(run), strict=False)]


def mixed(run: int) -> Iterator[dict[str, Any]]:
    """The bodies of `poisson`, without end; every fifth pair is in the same proportion."""
    for i in itertools.count():
        long = i % 5 in (1, 3)
        yield completion(words(f"poisson {run} {i}", 900 if long else 64), 64)


def _arrivals(rate: float, seed: str) -> Iterator[float]:
    rng = random.Random(seed)
    at = 0.0
    while True:
        at += rng.expovariate(rate)
        yield at


def documents(count: int, run: int, *, task: bool, grammar: bool = False) -> list[Ask]:
    """`json`: a report of 60 words to an object; `task`: behind 1,000 words in common.

    Args:
        grammar: the hand-written GBNF (which only the peer reads) in place of the schema.
    """
    prefix = words(f"task {run}", SHARED_WORDS) + "\n" if task else ""
    form: dict[str, Any] = {"grammar": GRAMMAR} if grammar else {"json_schema": SCHEMA}
    asks = []
    for i in range(count):
        report = words(f"document {run} {i}", 60)
        prompt = f"{prefix}Extract the fault report as JSON.\nReport: {report}\nJSON: "
        body = completion(prompt, 300, **form)
        del body["ignore_eos"]
        asks.append(Ask(body, document=True))
    return asks
