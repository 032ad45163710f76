"""The use-case of an answer with a real worker and a real log: no record, no answer."""

import asyncio
import contextlib
from dataclasses import replace
from importlib import metadata
from typing import NoReturn

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from appliance.errors import (
    BadRequest,
    NotFound,
    Overloaded,
    Unauthenticated,
    Unavailable,
)
from appliance.serving import inference
from appliance.types import Caller, Limits
from tests.answers import Slow, body, collect, outcome_of
from tests.smol import ID, caller, request, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROMPT = "Once upon a time"


@pytest.fixture
def ready(shared: Services) -> Services:
    return shared


async def test_the_intent_is_durable_before_anything_runs(ready: Services) -> None:
    generation = await ready.inference.begin(caller("k7", request_id="r-77"), request(seed=5))
    intent = body(ready, generation.intent.seq)
    assert (intent["kind"], intent["request_id"], intent["key_id"]) == ("intent", "r-77", "k7")
    assert intent["model"] == ID and intent["digest"] == generation.card.digest
    assert intent["prompt_tokens"] == generation.prompt_tokens == 5
    params = intent["params"]
    assert isinstance(params, dict)
    assert (params["seed"], params["temperature"], params["max_tokens"]) == ("5", "0.0", 4)
    assert generation.completion_tokens == 0 and generation.outcome is None
    assert ready.inference.running() == [generation]
    text, _ = await collect(generation)
    assert "Paris" in text


async def test_what_is_refused_leaves_no_intent(ready: Services) -> None:
    size = ready.audit.size
    refusals = [
        (caller(), replace(request(), model="nothing"), NotFound, "model_not_found"),
        (caller("k", "other"), request(), NotFound, "model_not_found"),
        (caller(), request("word " * 600), BadRequest, "context_length_exceeded"),
        (caller(), request(max_tokens=600), BadRequest, "context_length_exceeded"),
        (caller(), request(""), BadRequest, "invalid_value"),
    ]
    for who, what, kind, code in refusals:
        with pytest.raises(kind) as caught:
            await ready.inference.begin(who, what)
        assert caught.value.code == code
    assert ready.audit.size == size
    assert ready.inference.running() == []


async def test_a_seed_repeats_the_answer_and_none_draws_one(ready: Services) -> None:
    hot: dict[str, object] = {"temperature": 1.0, "max_tokens": 12}
    answers, seeds = [], set()
    for seed in (3, 3, None, None):
        generation = await ready.inference.begin(caller(), request(PROMPT, seed=seed, **hot))
        answers.append((await collect(generation))[0])
        seeds.add(generation.seed)
    assert answers[0] == answers[1]
    assert len(seeds) == 3 and all(0 <= s < 2**63 for s in seeds)
    again = await ready.inference.begin(caller(), request(PROMPT, seed=max(seeds - {3}), **hot))
    assert (await collect(again))[0] in answers[2:]


async def test_no_byte_of_an_answer_leaves_while_its_intent_is_not_durable(
    ready: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(ready, monkeypatch, "intent")
    starting = asyncio.create_task(ready.inference.begin(caller(), request()))
    await slow.asked.wait()
    (status,) = ready.supervisor.status()
    assert not starting.done() and status.running == 0
    slow.gate.set()
    assert (await collect(await starting))[1] == "length"


async def test_a_client_that_leaves_while_the_intent_is_written_gets_an_outcome(
    ready: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(ready, monkeypatch, "intent")
    starting = asyncio.create_task(ready.inference.begin(caller(), request(max_tokens=400)))
    await slow.asked.wait()
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    slow.gate.set()

    def settled() -> bool:
        intents = ready.reader.search(Query(kind="intent", limit=1000)).entries
        newest = max(e.seq for e in intents)
        outcome = outcome_of(ready, newest)
        return slow.task.done() and outcome is not None and outcome["status"] == "cancelled"

    await until(settled)
    await until(lambda: not ready.inference.running())


async def test_an_app_sees_the_models_that_its_key_allows(ready: Services) -> None:
    assert [c.id for c in ready.inference.cards(caller().principal)] == [ID]
    assert ready.inference.cards(caller("k", "other").principal) == []


def asked_by(services: Services, name: str, **limits: int) -> Caller:
    key, secret = services.keys.create(name, limits=Limits(**limits))  # type: ignore[arg-type]
    who = services.keys.authenticate(secret)
    return Caller(who, f"req-{key.id}", "127.0.0.1", "/v1/completions")


async def test_a_revoked_key_ends_its_running_answer_and_only_that(ready: Services) -> None:
    watching = asyncio.create_task(ready.inference.watch_keys())
    who, other = asked_by(ready, "one"), asked_by(ready, "two")
    answer = await ready.inference.begin(who, request(max_tokens=400))
    spared = await ready.inference.begin(other, request(max_tokens=40))
    with pytest.raises(Unauthenticated) as caught:
        async for _ in answer:
            ready.keys.revoke(who.principal.key_id)
    assert caught.value.code == "invalid_api_key"
    assert answer.outcome is not None
    outcome = body(ready, answer.outcome.seq)
    assert (outcome["status"], outcome["finish"]) == ("cancelled", "invalid_api_key")
    assert answer.completion_tokens < 400
    assert (await collect(spared))[1] == "length"
    watching.cancel()


async def test_an_operator_ends_an_answer_by_its_id(ready: Services) -> None:
    answer = await ready.inference.begin(caller(request_id="req-of-one"), request(max_tokens=400))
    why = Unavailable("request_cancelled", "An operator ended the answer.")
    assert not await ready.inference.cancel("req-other", why)
    assert await ready.inference.cancel("req-of-one", why)
    with pytest.raises(Unavailable):
        await collect(answer)
    assert answer.outcome is not None
    assert body(ready, answer.outcome.seq)["finish"] == "request_cancelled"


async def test_requests_beyond_the_slots_wait_here_and_not_in_the_engine(ready: Services) -> None:
    flood = [await ready.inference.begin(caller("a"), request(max_tokens=300)) for _ in range(6)]
    other = await ready.inference.begin(caller("b"), request(max_tokens=2))
    await until(lambda: not flood[0].queued)
    (status,) = ready.supervisor.status()
    assert status.queued <= 2 and sum(g.queued for g in flood) >= 2
    assert flood[-1].queued
    await flood[-1].cancel()
    await flood[-1].finished()
    assert flood[-1].outcome is not None and flood[-1].queued
    assert body(ready, flood[-1].outcome.seq)["status"] == "cancelled"
    # The other key does not wait for the flood.
    for answer in flood[:4]:
        await answer.cancel()
    assert (await collect(other))[1] == "length"
    assert body(ready, other.outcome.seq if other.outcome else -1)["queued_us"] != 0
    await flood[4].cancel()


async def test_a_quota_refuses_before_anything_is_recorded(ready: Services) -> None:
    who = asked_by(ready, "limited", tpm=20)
    first = await ready.inference.begin(who, request(max_tokens=10))
    assert (await collect(first))[1] == "length"
    size = ready.audit.size
    with pytest.raises(Overloaded) as caught:
        await ready.inference.begin(who, request(max_tokens=10))
    assert caught.value.code == "rate_limit_exceeded"
    with pytest.raises(BadRequest):
        await ready.inference.begin(who, request(max_tokens=100))
    assert ready.audit.size == size
    usage = ready.keys.get(who.principal.key_id).usage
    assert (usage.requests, usage.completion_tokens) == (1, 10)


async def test_a_failure_between_quota_and_intent_gives_the_place_and_the_tokens_back(
    ready: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = asked_by(ready, "unlucky", tpm=20)
    monkeypatch.setattr(inference, "intent", failing)
    for _ in range(ready.config.engine.max_queued_per_key + 1):  # a leak would fill the queue
        with pytest.raises(RuntimeError):
            await ready.inference.begin(who, request(max_tokens=10))
    monkeypatch.undo()
    assert ready.shares.inside(ID) == 0 and ready.inference.running() == []
    (status,) = ready.supervisor.status()
    assert (status.running, status.queued) == (0, 0)
    assert (await collect(await ready.inference.begin(who, request(max_tokens=10))))[1] == "length"


def failing(*_: object) -> NoReturn:
    raise RuntimeError("no draft")


async def test_many_at_once_get_an_outcome_each_and_leave_nothing(ready: Services) -> None:
    async def one(number: int) -> None:
        wanted = request(f"Number {number}:", max_tokens=3 + number % 5)
        generation = await ready.inference.begin(caller(f"k{number}"), wanted)
        if number % 3 == 0:
            await generation.cancel()
            await generation.finished()
        else:
            assert (await collect(generation))[1] == "length"
        assert generation.outcome is not None
        assert body(ready, generation.outcome.seq)["intent"] == generation.intent.seq

    await asyncio.gather(*(one(number) for number in range(24)))
    await until(lambda: not ready.inference.running())
    (status,) = ready.supervisor.status()
    assert (status.running, status.queued, status.kv_used) == (0, 0, 0)


async def test_a_request_reads_no_metadata_of_packages(
    ready: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading opens and parses files, in the event loop."""
    asked: list[str] = []
    found = metadata.Distribution.from_name

    def counted(name: str) -> metadata.Distribution:
        asked.append(name)
        return found(name)

    monkeypatch.setattr(metadata.Distribution, "from_name", counted)
    text, _ = await collect(await ready.inference.begin(caller(), request()))
    assert "Paris" in text and asked == []
    assert metadata.version("llama-cpp-python") == ready.supervisor.engine_version
    assert asked == ["llama-cpp-python"]  # the control
