"""Common prefixes are computed once, told truthfully, and shared by no two apps."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.smol import ID
from tests.system.conftest import Server, serving

REGISTERED = "You read reports of the plant and answer with one word. " * 6
CONFIG = f"""
[engine]
threads = 1
[models.default]
n_ctx = 4096
slots = 4
prefixes = ["{REGISTERED}"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, default_model_path: Path) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("prefixes"), default_model_path, CONFIG) as running:
        yield running


def ask(server: Server, app: int, prompt: str) -> dict[str, Any]:
    body = {"model": ID, "prompt": prompt, "max_tokens": 4, "temperature": 0}
    with server.client(app) as client:
        answer = client.post("/completions", json=body).json()
    assert isinstance(answer, dict) and "usage" in answer, answer
    return answer


def cached(answer: dict[str, Any]) -> int:
    return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])


def test_the_second_prompt_takes_over_what_the_first_computed(server: Server) -> None:
    head = "Pump 7 was opened on Monday and found dry. " * 12
    first, second = ask(server, 0, head + "A"), ask(server, 0, head + "B")
    assert cached(first) == 0
    size = second["usage"]["prompt_tokens"]
    assert size - 4 <= cached(second) < size  # all but the end, where they differ


def test_nothing_tells_an_app_what_another_has_asked(server: Server) -> None:
    """A guess that is right does the same work as one that is wrong; the control is one's own."""
    secret = "The patient in room 12 has the diagnosis that nobody may know. " * 10
    ask(server, 0, secret)
    assert cached(ask(server, 1, secret)) == 0
    assert cached(ask(server, 0, secret)) > 100


def test_a_registered_beginning_is_shared_whole_or_not_at_all(server: Server) -> None:
    def chat(app: int, system: str) -> int:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": f"{app}?"}]
        body = {"model": ID, "messages": messages, "max_tokens": 2, "temperature": 0}
        with server.client(app) as client:
            return cached(client.post("/chat/completions", json=body).json())

    chat(0, REGISTERED)
    assert chat(1, REGISTERED) > 60
    half = REGISTERED[: len(REGISTERED) // 2]
    assert chat(1, half) < 30  # the template's own beginning, of its own app


def test_requests_that_come_together_compute_a_new_beginning_once(server: Server) -> None:
    head = "Valve 3 does not close and the pressure falls by two bar an hour. " * 10
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: ask(server, 0, f"{head}{i}"), range(8)))
    reused = sorted(cached(a) for a in answers)
    assert reused[0] == 0 and min(reused[1:]) > 100
    assert server.idle()


def test_the_text_is_that_of_a_prompt_computed_afresh(server: Server) -> None:
    """Reuse changes which step a token is computed in, and nothing that a reader sees."""
    prompt = (
        "Water boils at one hundred degrees and freezes at zero. Water freezes at" + " the" * 20
    )
    fresh, reused = ask(server, 0, prompt), ask(server, 0, prompt)
    assert cached(fresh) == 0 < cached(reused)
    assert fresh["choices"][0]["text"] == reused["choices"][0]["text"]
