"""What the real model's tokeniser makes of texts, and who may ask it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.app import Services, open_services
from appliance.errors import BadRequest, NotFound, Overloaded
from appliance.types import GenerationRequest, Limits, Principal
from tests.smol import ID, SMALL, caller, loaded, make_data, request

pytestmark = pytest.mark.asyncio(loop_scope="module")
APP = Principal("k1", "app", frozenset())
TALK = ({"role": "user", "content": "Hi"},)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, shallow_path: Path) -> Path:
    return make_data(tmp_path_factory.mktemp("tokenizers"), shallow_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(data: Path) -> AsyncIterator[Services]:
    with open_services(data, config=SMALL) as services:
        async with loaded(services):
            yield services


async def test_tokens_are_those_that_an_answer_counts_and_nothing_is_recorded(
    ready: Services,
) -> None:
    size = ready.audit.size
    for asked in (
        GenerationRequest(ID, prompt="Once upon a time"),
        GenerationRequest(ID, messages=TALK),
    ):
        told = await ready.tokenizers.tokens(APP, asked, strings=True)
        assert ready.audit.size == size
        back = await ready.tokenizers.tokens(APP, GenerationRequest(ID, tokens=tuple(told.tokens)))
        assert back.text == b"".join(told.strings).decode()
        generation = await ready.inference.begin(caller(), asked)
        await generation.cancel()
        await generation.finished()
        assert generation.prompt_tokens == len(told.tokens)
        size = ready.audit.size


async def test_tokens_run_as_the_text_does(ready: Services) -> None:
    told = await ready.tokenizers.tokens(APP, GenerationRequest(ID, prompt="The capital of France"))
    texts = []
    for asked in (request("The capital of France"), request(tokens=tuple(told.tokens))):
        generation = await ready.inference.begin(caller(), asked)
        texts.append([delta.text async for delta in generation])
    assert "".join(texts[0]) == "".join(texts[1]) != ""


async def test_the_vocabulary_names_the_models_own_tokens(ready: Services) -> None:
    known = await ready.tokenizers.vocabulary(APP, ID)
    assert "<|im_start|>" in known.template and known.eos == "<|im_end|>"
    end = await ready.tokenizers.tokens(APP, GenerationRequest(ID, prompt=known.eos), special=False)
    assert len(end.tokens) == 1  # read as the control token that it is


async def test_only_who_may_use_a_model_may_ask_its_tokeniser(ready: Services) -> None:
    assert ready.tokenizers.card(APP, None).id == ID
    stranger = Principal("k2", "app", frozenset({"other"}))
    for name in (ID, None):
        with pytest.raises(NotFound) as caught:
            ready.tokenizers.card(stranger, name)
        assert caught.value.code == "model_not_found"
    with pytest.raises(NotFound):
        await ready.tokenizers.tokens(stranger, GenerationRequest(ID, prompt="x"))
    with pytest.raises(NotFound):
        await ready.tokenizers.vocabulary(stranger, ID)


async def test_a_tokenisation_counts_against_the_requests_of_its_key(ready: Services) -> None:
    limited = Principal("k3", "app", frozenset(), limits=Limits(rpm=2))
    for _ in range(2):
        await ready.tokenizers.tokens(limited, GenerationRequest(ID, prompt="x"))
    with pytest.raises(Overloaded) as caught:
        await ready.tokenizers.tokens(limited, GenerationRequest(ID, prompt="x"))
    assert caught.value.code == "rate_limit_exceeded"


async def test_what_the_worker_refuses_gives_the_place_back(ready: Services) -> None:
    for _ in range(300):  # more than one key may have waiting
        with pytest.raises(BadRequest) as caught:
            await ready.tokenizers.tokens(APP, GenerationRequest(ID, tokens=(10**9,)))
        assert (caught.value.code, caught.value.param) == ("invalid_value", "tokens")
