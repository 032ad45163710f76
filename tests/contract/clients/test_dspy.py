"""`dspy`: a bare chat, typed answers by a schema, a task as its own model."""

from typing import Any, Literal

import dspy
from pydantic import BaseModel


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


class Schemas(dspy.LM):  # type: ignore[misc]
    """Declares that the server takes a schema.

    The package knows this only of the models in its list. Of any other it asks for a form in words,
    which a model this small does not keep.
    """

    supports_response_schema = True
    supported_params = frozenset({"temperature", "max_tokens", "response_format"})


def model(server: Any, named: str = "", **settings: Any) -> dspy.LM:
    return Schemas(
        f"openai/{named or server.model}", api_base=server.base_url, api_key=server.api_key,
        cache=False, num_retries=0, **settings,
    )  # fmt: skip


def test_a_bare_chat(server: Any) -> None:
    (answer,) = model(server, temperature=0, max_tokens=8)("Say hello.")
    assert answer


def test_typed_answers_by_a_schema(server: Any) -> None:
    lm = model(server, temperature=0, max_tokens=100)
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        assert isinstance(dspy.Predict(Read)(report="Valve V7 is open.").valve, Valve)
        assert dspy.Predict(Sort)(order="replace hose").system in ("hydraulics", "engine")


def test_a_task_is_asked_without_a_signature(server: Any) -> None:
    (label,) = model(server, server.task)("replace hose")
    assert label in ("hydraulics", "engine")
