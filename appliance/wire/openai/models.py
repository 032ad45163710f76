"""`GET /v1/models`: what a key may use.

Source: OpenAI API reference, models; `max_model_len` is vLLM's.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field


class Model(BaseModel):
    """A model that is being served; `max_model_len` is the context length in tokens.

    `parent` is the base of an adapter, as vLLM tells it.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "appliance"
    parent: str | None = None
    max_model_len: int
    meta: dict[str, Any] = Field(default_factory=dict)


class ModelList(BaseModel):
    """The models that the key may use."""

    object: Literal["list"] = "list"
    data: list[Model]
