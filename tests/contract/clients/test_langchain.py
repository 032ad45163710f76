"""`langchain-openai`: structured output in both of its ways, functions, streaming."""

from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


def chat(server: Any) -> ChatOpenAI:
    key = SecretStr(server.api_key)
    return ChatOpenAI(
        model=server.model, base_url=server.base_url, api_key=key, temperature=0, max_tokens=120
    )


def test_structured_output_by_schema(server: Any) -> None:
    made = chat(server).with_structured_output(Valve, method="json_schema")
    assert isinstance(made.invoke("Valve V7 is open."), Valve)


def test_structured_output_by_function(server: Any) -> None:
    made = chat(server).with_structured_output(Valve, method="function_calling")
    assert isinstance(made.invoke("Valve V7 is open."), Valve)


def test_a_bound_function_that_is_demanded_is_called(server: Any) -> None:
    model = chat(server).bind_tools([Valve], tool_choice="Valve", parallel_tool_calls=False)
    answer = model.invoke("Valve V7 is open.")
    (call,) = answer.tool_calls
    assert call["name"] == "Valve" and {"name", "open"} <= set(call["args"])


def test_a_stream_and_its_counts(server: Any) -> None:
    chunks = list(chat(server).stream("Say hello.", max_tokens=8, stream_usage=True))
    assert "".join(str(chunk.content) for chunk in chunks)
    assert any(chunk.usage_metadata for chunk in chunks)
