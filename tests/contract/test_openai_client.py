"""The unmodified `openai` package against a real server on loopback."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from appliance.errors import AuditUnavailable, BadRequest, Overloaded, Unavailable
from appliance.types import Delta, Sampling, TokenLogprob
from tests.api.fake import CARD, TEXT, worker_lost
from tests.contract.conftest import Scripted

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
WAIT_S = 30


@pytest.fixture
def client(scripted: Scripted) -> Iterator[OpenAI]:
    with OpenAI(base_url=scripted.base_url, api_key=scripted.api_key) as made:
        yield made


def test_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=CARD.id, messages=HI)
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", TEXT)
    assert (choice.finish_reason, choice.message.refusal) == ("stop", None)
    assert answer.usage and answer.usage.total_tokens == 10
    assert answer.usage.prompt_tokens_details
    assert answer.usage.prompt_tokens_details.cached_tokens == 3
    assert answer.id.startswith("chatcmpl-") and answer._request_id


def test_chat_stream(client: OpenAI) -> None:
    with client.chat.completions.create(model=CARD.id, messages=HI, stream=True) as stream:
        chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == TEXT
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1
    assert all(c.usage is None for c in chunks)


def test_the_stream_helper_accumulates_a_whole_answer(client: OpenAI) -> None:
    with client.chat.completions.stream(model=CARD.id, messages=HI) as stream:
        answer = stream.get_final_completion()
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"


def test_include_usage(client: OpenAI) -> None:
    with client.chat.completions.create(
        model=CARD.id, messages=HI, stream=True, stream_options={"include_usage": True}
    ) as stream:
        *others, last = list(stream)
    assert last.choices == [] and last.usage and last.usage.completion_tokens == 3
    assert all(c.usage is None for c in others)


def test_completions(client: OpenAI) -> None:
    answer = client.completions.create(model=CARD.id, prompt="Hi", max_tokens=5)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == (TEXT, "stop")
    with client.completions.create(model=CARD.id, prompt=[1, 2], stream=True) as stream:
        chunks = list(stream)
    assert "".join(c.choices[0].text for c in chunks) == TEXT


def test_every_sampling_field_and_extra_arrives(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.script = (Delta("a", 1, "stop"), Delta("b", 1, "stop", 1))
    scripted.inference.choices = 2
    client.chat.completions.create(
        model=CARD.id,
        messages=[{"role": "developer", "content": "Be brief."}, *HI],
        max_completion_tokens=9,
        temperature=0,
        top_p=0.5,
        stop=["\n"],
        seed=7,
        user="u",
        n=2,
        presence_penalty=0.5,
        logit_bias={"5": -100},
        logprobs=True,
        top_logprobs=3,
        extra_body={"top_k": 3, "min_p": 0.1, "ignore_eos": True, "min_tokens": 2},
    )
    ((caller, request),) = scripted.inference.requests
    assert (request.n, request.logprobs) == (2, 3)
    assert request.messages and request.messages[0] == {"role": "system", "content": "Be brief."}
    assert request.sampling == Sampling(
        temperature=0, top_p=0.5, top_k=3, min_p=0.1, presence_penalty=0.5,
        logit_bias=((5, -100.0),),
    )  # fmt: skip
    assert (request.max_tokens, request.stop, request.seed) == (9, ("\n",), 7)
    assert (request.ignore_eos, request.min_tokens) == (True, 2)
    assert (caller.principal.name, caller.ip) == ("contract", "127.0.0.1")


def token(text: bytes, value: float) -> tuple[TokenLogprob, ...]:
    return (TokenLogprob(text, value, ((text, value), (b"\xff", -3.0)), 0),)


TWO = (
    Delta("A", 1, None, 0, token(b"A", -0.5)),
    Delta("1", 1, None, 1, token(b"1", -1.5)),
    Delta("2", 1, "length", 1, token(b"2", -1.0)),
    Delta("B", 1, "stop", 0, token(b"B", -0.25)),
)


def test_choices_of_a_chat_stream_are_told_apart(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.script, scripted.inference.choices = TWO, 2
    with client.chat.completions.create(
        model=CARD.id, messages=HI, n=2, stream=True, logprobs=True, top_logprobs=2,
        stream_options={"include_usage": True},
    ) as stream:  # fmt: skip
        *chunks, last = list(stream)
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    for index, text, finish in ((0, "AB", "stop"), (1, "12", "length")):
        own = [c.choices[0] for c in chunks if c.choices[0].index == index]
        assert "".join(c.delta.content or "" for c in own) == text
        assert [c.delta.role for c in own if c.delta.role] == ["assistant"]
        assert [c.finish_reason for c in own] == [None] * (len(own) - 1) + [finish]
        told = [entry for c in own if c.logprobs for entry in c.logprobs.content or []]
        assert [entry.token for entry in told] == list(text)
        assert all(entry.top_logprobs[1].bytes == [255] for entry in told)
    assert last.choices == [] and last.usage and last.usage.completion_tokens == 4


def test_the_stream_helper_accumulates_every_choice(client: OpenAI, scripted: Scripted) -> None:
    # The helper raises on an answer that was cut off.
    scripted.inference.script = tuple(
        replace(delta, finish_reason=delta.finish_reason and "stop") for delta in TWO
    )
    scripted.inference.choices = 2
    with client.chat.completions.stream(model=CARD.id, messages=HI, n=2, logprobs=True) as stream:
        answer = stream.get_final_completion()
    found = [(c.index, c.message.content, c.finish_reason) for c in answer.choices]
    assert found == [(0, "AB", "stop"), (1, "12", "stop")]
    assert [len(c.logprobs.content or []) for c in answer.choices if c.logprobs] == [2, 2]


def test_choices_of_a_completion_stream_are_told_apart(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.script, scripted.inference.choices = TWO, 2
    with client.completions.create(
        model=CARD.id, prompt="Hi", n=2, stream=True, logprobs=1
    ) as stream:
        choices = [chunk.choices[0] for chunk in stream]
    for index, text, finish in ((0, "AB", "stop"), (1, "12", "length")):
        own = [c for c in choices if c.index == index]
        assert "".join(c.text for c in own) == text
        assert [str(c.finish_reason) for c in own] == ["None"] * (len(own) - 1) + [finish]
        assert sum(c.logprobs is not None for c in own) == 2


class Valve(BaseModel):
    """What an app asks the model to fill in."""

    name: str
    open: bool


def test_parse_asks_for_the_schema_and_reads_the_answer(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.script = (Delta('{"name":"V1",', 1), Delta('"open":true}', 1, "stop"))
    answer = client.chat.completions.parse(model=CARD.id, messages=HI, response_format=Valve)
    assert answer.choices[0].message.parsed == Valve(name="V1", open=True)
    constraint = scripted.inference.requests[0][1].constraint
    assert constraint and constraint.kind == "json_schema" and '"open"' in constraint.source


def test_parse_tells_an_answer_that_was_cut_off(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.script = (Delta('{"name":"V', 1, "length"),)
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=CARD.id, messages=HI, response_format=Valve)


def test_models(client: OpenAI) -> None:
    assert [m.id for m in client.models.list()] == [CARD.id]
    model = client.models.retrieve(CARD.id)
    assert (model.id, model.object, model.owned_by) == (CARD.id, "model", "appliance")


def test_the_receipt_of_an_answer(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=CARD.id, messages=HI)
    request_id, seq = raw.request_id, raw.headers["x-appliance-receipt"].split()[0]
    receipt = client.get(f"/receipts/{request_id}", cast_to=httpx.Response).json()
    assert receipt["outcome"]["seq"] == int(seq)


# errors


def test_a_wrong_key_is_an_authentication_error(scripted: Scripted) -> None:
    client = OpenAI(base_url=scripted.base_url, api_key="sk-wrong")
    with client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key" and caught.value.request_id


def test_an_unknown_model_is_a_not_found_error(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nothing", messages=HI)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_what_cannot_be_honoured_is_a_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=CARD.id, messages=HI, n=9)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "n")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=CARD.id, messages=HI, max_tokens=-1)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "max_tokens")


def test_a_context_overflow_is_recognisable(client: OpenAI, scripted: Scripted) -> None:
    message = "This model's maximum context length is 512 tokens, not 600."
    scripted.inference.refusal = BadRequest("context_length_exceeded", message)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=CARD.id, messages=HI)
    assert caught.value.code == "context_length_exceeded"
    assert message in str(caught.value)


def test_ten_megabytes_of_prompt_get_an_answer_and_no_broken_pipe(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model=CARD.id, messages=[{"role": "user", "content": "x" * 10_000_000}]
        )
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
    assert len(list(client.models.list())) == 1


def test_a_full_queue_is_tried_again(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.refusal = Overloaded("queue_full", "The queue has 256 requests.")
    with pytest.raises(openai.RateLimitError):
        client.with_options(max_retries=1).chat.completions.create(model=CARD.id, messages=HI)
    assert [caller.retry for caller, _ in scripted.inference.requests] == [0, 1]


def test_what_cannot_get_better_is_not_tried_again(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.refusal = AuditUnavailable("audit_unavailable", "The disk is full.")
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=CARD.id, messages=HI)
    assert (caught.value.status_code, caught.value.code) == (503, "audit_unavailable")
    scripted.inference.refusal = KeyError("unexpected")
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=CARD.id, messages=HI)
    assert (caught.value.status_code, caught.value.code) == (500, "internal_error")
    assert len(scripted.inference.requests) == 2


def test_a_failure_in_mid_stream_raises(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.script = (Delta("Hel", 1), worker_lost())
    texts = []
    stream = client.chat.completions.create(model=CARD.id, messages=HI, stream=True)
    with stream, pytest.raises(openai.APIError) as caught:
        for chunk in stream:
            texts.append(chunk.choices[0].delta.content)
    assert texts == ["", "Hel"] and caught.value.code == "worker_lost"


def test_a_failure_before_the_first_token_is_tried_again(
    client: OpenAI, scripted: Scripted
) -> None:
    scripted.inference.script = (Unavailable("shutting_down", "Stopping."),)
    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=0).chat.completions.create(
            model=CARD.id, messages=HI, stream=True
        )


# clients that leave


def test_closing_a_stream_cancels(client: OpenAI, scripted: Scripted) -> None:
    scripted.inference.script = (Delta("Hel", 1), asyncio.Event())
    stream = client.chat.completions.create(model=CARD.id, messages=HI, stream=True)
    next(iter(stream))
    assert not scripted.inference.cancels.is_set()
    stream.close()
    client.close()
    assert scripted.inference.cancels.wait(WAIT_S)


@pytest.mark.parametrize("stream", [True, False])
async def test_giving_up_before_the_first_token_cancels(scripted: Scripted, stream: bool) -> None:
    scripted.inference.script = (asyncio.Event(),)
    async with AsyncOpenAI(base_url=scripted.base_url, api_key=scripted.api_key) as client:
        asking = asyncio.ensure_future(
            client.chat.completions.create(model=CARD.id, messages=HI, stream=stream)
        )
        while not scripted.inference.generations:
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert await asyncio.to_thread(scripted.inference.cancels.wait, WAIT_S)


async def test_eight_streams_at_once_are_each_complete(scripted: Scripted) -> None:
    async with AsyncOpenAI(base_url=scripted.base_url, api_key=scripted.api_key) as client:

        async def one() -> str:
            stream = await client.chat.completions.create(model=CARD.id, messages=HI, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in stream])

        assert await asyncio.gather(*(one() for _ in range(8))) == [TEXT] * 8


def test_a_batch_is_sent_polled_read_and_cancelled(client: OpenAI, scripted: Scripted) -> None:
    def lines(count: int) -> bytes:
        body = {"model": CARD.id, "messages": HI}
        made = [
            {"custom_id": f"{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            for n in range(count)
        ]
        return "".join(json.dumps(line) + "\n" for line in made).encode()

    file = client.files.create(
        file=("lines.jsonl", lines(3)),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (client.files.retrieve(file.id).filename, file.purpose) == ("lines.jsonl", "batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
        metadata={"for": "a test"},
    )  # fmt: skip
    while batch.status in ("validating", "in_progress", "finalizing"):
        batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed" and batch.output_file_id and batch.metadata
    answers = client.files.content(batch.output_file_id).text.splitlines()
    assert [json.loads(one)["custom_id"] for one in answers] == ["0", "1", "2"]
    scripted.inference.hold = held = asyncio.Event()
    long = client.files.create(file=lines(40), purpose="batch")
    asked = client.batches.create(
        input_file_id=long.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert client.batches.cancel(asked.id).status in ("cancelling", "cancelled")
    while (asked := client.batches.retrieve(asked.id)).status == "cancelling":
        pass
    held.set()
    assert asked.status == "cancelled"
    assert {one.id for one in client.batches.list(limit=1)} >= {batch.id, asked.id}
    assert {one.id for one in client.files.list(purpose="batch")} >= {file.id, long.id}
    assert client.files.delete(file.id).deleted
