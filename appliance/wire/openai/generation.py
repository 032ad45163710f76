"""Common fields of requests for a text, and the token counts that every answer has.

Rules:
- Values are taken by their JSON type, never converted: "0.5" is no number and true is no 1.
- NaN, infinities and everything out of range are refused, naming the field.
- Fields that `wire.openai.fields` lists are refused; other unknown fields are ignored.
- A list is refused for its first wrong item.
- The several spellings of a field (one string or a list, text or parts) become one here.

Source: OpenAI API reference, chat completions and completions; the extra fields are vLLM's.
"""

import re
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from appliance.types import Priority
from appliance.wire.openai.constraints import ConstraintFields
from appliance.wire.openai.fields import RequestBody
from appliance.wire.openai.unsupported import field_refused

INT32: Final = 2**31 - 1
MOST_CHOICES: Final = 8
MOST_ALTERNATIVES: Final = 20  # log-probabilities told beside a token's own
_MOST_BIASES: Final = 300
_MOST_FIELDS: Final = 20
_TOKEN_ID: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


def example(**body: Any) -> ConfigDict:
    """The part of a model's configuration that shows a body in the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [body]})


def few_fields(data: Any) -> Any:
    """Refuse a body of many fields, each of which would be a refusal of its own."""
    if isinstance(data, dict) and len(data) > _MOST_FIELDS:
        raise ValueError(f"has more than {_MOST_FIELDS} fields")
    return data


def at_most(entries: int) -> BeforeValidator:
    """Refuse a table of more entries before they are looked at.

    Each wrong one would be a refusal of its own.
    """

    def check(table: Any) -> Any:
        if isinstance(table, dict) and len(table) > entries:
            raise ValueError(f"has more than {entries} entries")
        return table

    return BeforeValidator(check)


def _as_list(stop: Any) -> Any:
    return [] if stop is None else [stop] if isinstance(stop, str) else stop


def _token_ids(bias: dict[str, float]) -> dict[str, float]:
    for token in bias:
        if not _TOKEN_ID.fullmatch(token) or int(token) > INT32:
            raise ValueError(f"the keys must be token ids from 0 to {INT32}")
    return bias


Penalty: TypeAlias = Annotated[float, Field(ge=-2, le=2)]
Repetition: TypeAlias = Annotated[float, Field(gt=0, le=10)]
Bias: TypeAlias = Annotated[float, Field(ge=-100, le=100)]
LogitBias: TypeAlias = Annotated[
    dict[str, Bias],
    Field(max_length=_MOST_BIASES),
    AfterValidator(_token_ids),
    at_most(_MOST_BIASES),
]
StopString: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]
Stop: TypeAlias = Annotated[
    list[StopString],
    Field(max_length=16, fail_fast=True),
    BeforeValidator(_as_list, json_schema_input_type=StopString | list[StopString] | None),
]


StreamUsage: TypeAlias = Literal["none", "last", "each"]


class StreamOptions(BaseModel):
    """`include_usage`: one more chunk, with the token counts, ends the stream.

    `continuous_usage_stats` (vLLM): every chunk has the counts so far, too.
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class GenerationFields(RequestBody, ConstraintFields):
    """Common fields of chat and completions.

    `max_completion_tokens` is the newer name and wins over `max_tokens`. `top_k`, `min_p` and
    `typical_p` narrow sampling; `ignore_eos` and `min_tokens` keep a text from ending early.
    `repeat_penalty` is llama-server's name of vLLM's `repetition_penalty`.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str = Field(min_length=1, max_length=256)
    max_tokens: int | None = Field(None, ge=1, le=INT32)
    max_completion_tokens: int | None = Field(None, ge=1, le=INT32)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=INT32, description="0 and -1 keep all tokens")
    min_p: float | None = Field(None, ge=0, le=1)
    typical_p: float | None = Field(None, gt=0, le=1)
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Repetition | None = None
    repeat_penalty: Repetition | None = None
    logit_bias: LogitBias | None = Field(None, description="token ids and what is added")
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    stop: Stop = Field(default_factory=list)
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool | None = None
    min_tokens: int | None = Field(None, ge=0, le=INT32)
    service_tier: str | None = Field(
        None,
        max_length=40,
        description="flex runs after the others; without it the key decides",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        limit = self.token_limit
        if self.min_tokens and limit is not None and self.min_tokens > limit:
            raise field_refused("invalid_value", "min_tokens", "more than the most tokens allowed")
        one, other = self.repetition_penalty, self.repeat_penalty
        if one is not None and other is not None and one != other:
            why = "differs from repetition_penalty, which is the same setting"
            raise field_refused("invalid_value", "repeat_penalty", why)
        return self

    @property
    def token_limit(self) -> int | None:
        """None is as many as the context leaves."""
        newer = self.max_completion_tokens
        return self.max_tokens if newer is None else newer

    @property
    def alternatives(self) -> int | None:
        """Log-probabilities to return besides each token's own; None returns nothing."""
        return None

    @property
    def priority(self) -> Priority | None:
        """None leaves it to the key."""
        return {"flex": Priority.BATCH, "priority": Priority.INTERACTIVE}.get(
            self.service_tier or ""
        )

    @property
    def stream_usage(self) -> StreamUsage:
        wanted = self.stream_options
        if wanted is None or not wanted.include_usage:
            return "none"
        return "each" if wanted.continuous_usage_stats else "last"


class PromptTokensDetails(BaseModel):
    """Prompt tokens that did not have to be computed again."""

    cached_tokens: int


class CompletionTokensDetails(BaseModel):
    """Tokens of the answer that were reasoning."""

    reasoning_tokens: int


class Usage(BaseModel):
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
