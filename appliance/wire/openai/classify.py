"""`POST /v1/classify`: what clients send and get; the rules are those of `embeddings`.

Source: vLLM, `entrypoints/pooling/classify/protocol.py` of August 2026.
"""

from functools import partial
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from appliance.wire.openai.embeddings import Text, as_texts
from appliance.wire.openai.fields import RequestBody, Route
from appliance.wire.openai.generation import Usage, example

MOST_INPUTS: Final = 64
"""Texts of one request; each is a request of its own for the log, the queue and the quota."""


_NO_IDS: Final = "a task takes text, not token ids"
Inputs: TypeAlias = Annotated[
    list[Text],
    Field(min_length=1, max_length=MOST_INPUTS, fail_fast=True),
    BeforeValidator(partial(as_texts, _NO_IDS), json_schema_input_type=Text | list[Text]),
]


class ClassifyRequest(RequestBody):
    """The body of `POST /v1/classify`; a text may be the task's fields as a JSON object."""

    route: ClassVar[Route] = "classify"

    model_config = ConfigDict(
        strict=True,
        extra="allow",  # the end user among it, which the log keeps
        **example(model="excavator-system", input=["Hose of the boom leaks."]),
    )

    model: str = Field(min_length=1, max_length=256)
    input: Inputs


class Classification(BaseModel):
    """One text: its likeliest label, and the probability of each in the order of `labels`."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassifyAbout(BaseModel):
    """Which task answered.

    Attributes:
        stage: the id of a model, or "classifier".
        candidate: kind and digest of what answered.
        labels: the set, in the order of `probs`.
    """

    task: str
    version: int
    digest: str
    stage: str
    candidate: dict[str, str]
    labels: list[str]


class ClassifyResponse(BaseModel):
    """The labels, in the order of the texts."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[Classification]
    usage: Usage
    x_appliance: ClassifyAbout
