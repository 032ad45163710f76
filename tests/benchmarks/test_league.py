"""The league's sheet and the shim's server."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from benchmarks import league, league_shim
from benchmarks.generator import Answer
from benchmarks.league import FIGURES, Found, figures_of
from benchmarks.loads import Ask, Group, Load, completion
from benchmarks.measure import drive


class Echo:
    def size(self, prompt: str) -> int:
        return len(prompt.split())

    def answer(self, prompt: str, most: int) -> Iterator[str]:
        yield from prompt.split()[:most]


@pytest.fixture
def port() -> Iterator[int]:
    """Of a shim around that engine."""
    handler = type("EchoHandler", (league_shim.Handler,), {"engine": Echo()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_shim_streams_what_the_generator_counts(port: int) -> None:
    asks = [Ask(completion("one two three four", most)) for most in (1, 3)]
    answers: list[Answer] = drive(Load("127.0.0.1", port, [Group("app", "none", asks, 2)]))
    found = sorted((a.text, a.prompt_tokens, a.completion_tokens, a.error) for a in answers)
    assert found == [("one", 4, 1, ""), ("onetwothree", 4, 3, "")]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/health")
    answer = connection.getresponse()
    assert answer.status == 200 and json.loads(answer.read())["data"][0]["id"] == "bench"
    connection.close()


def found(engine: str, value: float) -> Found:
    return Found(engine, **dict.fromkeys(["start", "memory", *FIGURES], value))


def test_a_sheet_has_ours_over_each_engine_that_ran() -> None:
    runs = {
        "ours": [found("ours", 30.0), found("ours", 50.0)],
        "ik": [found("ik", 10.0), found("ik", 20.0)],
        "vllm": [],
    }
    rows = figures_of(runs)
    assert len(rows) == len(FIGURES)
    assert {row.name.partition(":")[0] for row in rows} == {"ik"}
    rates, gaps = (next(r for r in rows if word in r.name) for word in ("eight at once", "p99"))
    assert (rates.value.low, rates.value.high) == (2.5, 3.0)
    assert rates.met is True and gaps.met is False  # a longer gap is no win


def test_every_engine_but_the_two_with_their_own_build_has_a_pinned_wheel() -> None:
    assert set(league.ALL) == {"ours", "llama-server", *league.ENGINES}
    assert all("==" in packages[0] for packages in (league.GUIDELLM, *league.ENGINES.values()))
