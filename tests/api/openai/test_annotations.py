"""The citations of a task's answer, as openai-python reads them."""

from dataclasses import replace

import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from appliance.types import Citation, CitedFrom, Delta, TaskAnswer
from tests.api.conftest import Lan
from tests.api.fake import CARD
from tests.api.openai.streams import stream

QUOTED = '"opens at 12 bar" [1]'
CITATION = Citation(
    1, "ab12:100-115", "manuals/pump 7.pdf", "Pump", 3, 100, 115, "f" * 64, "e" * 64,
    "opens at 12 bar", 3, 24,
)  # fmt: skip
CITED = CitedFrom("handbook", 7, 2, (CITATION,), 1, refused=False)
ABOUT = TaskAnswer("asks", 1, "d" * 64, "smol", cited=CITED)
CHAT = {"model": CARD.id, "messages": [{"role": "user", "content": "Hi"}]}
URL = "collection:handbook/manuals/pump%207.pdf#bytes=100-115"


@pytest.fixture(autouse=True)
def citing(lan: Lan) -> None:
    lan.inference.script = (Delta(f"It {QUOTED}", 3, "stop", about=ABOUT),)


async def test_a_chat_has_url_citations(lan: Lan) -> None:
    document = (await lan.client.post("/v1/chat/completions", json=CHAT)).json()
    message = ChatCompletion.model_validate(document).choices[0].message
    assert message.annotations and message.content
    (found,) = (one.url_citation for one in message.annotations)
    assert message.content[found.start_index : found.end_index] == QUOTED
    assert (found.title, found.url) == ("Pump", URL)
    told = document["x_appliance"]
    assert (told["removed"], told["refused"], told["collection"]) == (1, False, "handbook")
    (citation,) = told["citations"]
    assert citation == vars(CITATION)


async def test_a_stream_has_them_in_its_last_chunk(lan: Lan) -> None:
    _, events = await stream(lan, "/v1/chat/completions", CHAT)
    last = next(e for e in events if isinstance(e, dict) and e["choices"][0]["finish_reason"])
    (found,) = last["choices"][0]["delta"]["annotations"]
    assert found["url_citation"]["url"] == URL and last["x_appliance"]["citations"]


async def test_a_response_has_file_citations(lan: Lan) -> None:
    reply = await lan.client.post("/v1/responses", json={"model": CARD.id, "input": "Hi"})
    (item,) = Response.model_validate(reply.json()).model_dump()["output"]
    (shown,) = item["content"][0]["annotations"]
    assert (shown["type"], shown["filename"]) == ("file_citation", "manuals/pump 7.pdf")
    assert (shown["file_id"], shown["index"]) == ("ab12:100-115", 3)


async def test_other_answers_have_none(lan: Lan) -> None:
    lan.inference.script = (Delta("It.", 3, "stop", about=replace(ABOUT, cited=None)),)
    document = (await lan.client.post("/v1/chat/completions", json=CHAT)).json()
    assert "annotations" not in document["choices"][0]["message"]
    assert "citations" not in document["x_appliance"]
