"""`dspy`: a prediction by its own format and by a schema, a typed answer, an agent."""

from typing import Any, Literal

import dspy
from pydantic import BaseModel

ADAPTERS = [dspy.ChatAdapter, dspy.JSONAdapter]


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


class Read(dspy.Signature):  # type: ignore[misc]
    """Read the state of a valve from a report."""

    report: str = dspy.InputField()
    valve: Valve = dspy.OutputField()


class Sort(dspy.Signature):  # type: ignore[misc]
    """Name the system that a work order is about."""

    order: str = dspy.InputField()
    system: Literal["hydraulics", "engine"] = dspy.OutputField()


def model(server: Any, **more: Any) -> dspy.LM:
    return dspy.LM(
        f"openai/{server.model}", api_base=server.base_url, api_key=server.api_key,
        temperature=0, max_tokens=100, cache=False, num_retries=0, **more,
    )  # fmt: skip


def test_a_bare_chat(server: Any) -> None:
    assert model(server)("Say hello.")


def test_a_typed_answer_by_a_schema(server: Any) -> None:
    """`JSONAdapter` sends the signature as a JSON schema, so the answer is always of its type."""
    with dspy.context(lm=model(server), adapter=dspy.JSONAdapter()):
        assert isinstance(dspy.Predict(Read)(report="Valve V7 is open.").valve, Valve)
        found = dspy.Predict(Sort)(order="replace hose").system
        assert found in ("hydraulics", "engine")
