"""`GET /v1/models`: what a key may use.

Sources: OpenAI and Anthropic API references, models, in one document; `max_model_len` is vLLM's.
"""

from typing import Literal

from pydantic import BaseModel, Field

from appliance.types import ModelKind, ModelUse


def _none(value: object) -> bool:
    return value is None


class ModelMeta(BaseModel):
    """Purpose of an entry, and the options of its requests.

    Attributes:
        type: what an app does with it.
        kind: of the model that answers.
        loaded: it is in memory; else the first request loads it.
        tools: a chat may offer functions.
        json_schema: an answer may be held to a JSON schema of the request.
        labels: `/v1/classify` sorts texts with it.
        citations: its answers cite documents; absent where that is not known.
        licence: of the model that answers, as its file states it.
        form: of the answers of a task or route: labels, fields or text.
        dimensions: numbers in a vector of an embedder.
        base_digest: of the base of an adapter.
        upstream: kind of the engine on another host that answers.
        identity: "claimed" where another host says which model it is.
    """

    type: ModelUse
    digest: str
    kind: ModelKind
    loaded: bool
    tools: bool
    json_schema: bool
    labels: bool
    citations: bool | None = Field(default=None, exclude_if=_none)
    licence: str | None = Field(default=None, exclude_if=_none)
    form: str | None = Field(default=None, exclude_if=_none)
    dimensions: int | None = Field(default=None, exclude_if=_none)
    base_digest: str | None = Field(default=None, exclude_if=_none)
    upstream: str | None = Field(default=None, exclude_if=_none)
    identity: Literal["claimed"] | None = Field(default=None, exclude_if=_none)


class Model(BaseModel):
    """A value for `model` in a request.

    `max_model_len` is the context length in tokens, null where no token is read. `parent` is the
    base of an adapter, as vLLM tells it. `type`, `display_name` and `created_at` are of Anthropic's
    API.
    """

    id: str
    object: Literal["model"] = "model"
    type: Literal["model"] = "model"
    display_name: str
    created: int
    created_at: str
    owned_by: str = "appliance"
    parent: str | None = None
    max_model_len: int | None
    meta: ModelMeta


class ModelList(BaseModel):
    """The models that the key may use."""

    object: Literal["list"] = "list"
    data: list[Model]
    has_more: Literal[False] = False
    first_id: str | None
    last_id: str | None
