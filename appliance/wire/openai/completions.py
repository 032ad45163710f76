"""`POST /v1/completions`: what clients send and get; the rules are those of `generation`.

Source: OpenAI API reference, completions.
"""

from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from appliance.wire.openai.characters import characters
from appliance.wire.openai.fields import Route
from appliance.wire.openai.generation import (
    INT32,
    MOST_ALTERNATIVES,
    MOST_CHOICES,
    GenerationFields,
    Usage,
    example,
)
from appliance.wire.openai.unsupported import field_refused

MOST_PROMPTS: Final = 64
_COMPLETION_TOKENS: Final = 16  # OpenAI's default for completions


def _prompts(prompt: Any) -> Any:
    """A list of texts and lists of token ids, out of the API's four forms."""
    several = isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], str | list)
    prompts = prompt if several else [prompt]
    if len(prompts) > MOST_PROMPTS:
        raise ValueError(f"at most {MOST_PROMPTS} prompts in one request")
    return [_one_prompt(one) for one in prompts]


def _one_prompt(prompt: Any) -> Any:
    if not isinstance(prompt, str | list):
        raise ValueError("the prompt must be text or a list of token ids")
    if not prompt:
        raise ValueError("the prompt is empty")
    if isinstance(prompt, list) and not all(_is_token(token) for token in prompt):
        raise ValueError(f"token ids must be integers from 0 to {INT32}")
    return characters(prompt)


def _is_token(value: Any) -> bool:
    return type(value) is int and 0 <= value <= INT32


def _number(logprobs: Any) -> Any:
    return None if logprobs is False else logprobs  # false is chat's way to ask for none


PromptText: TypeAlias = Annotated[str, Field(min_length=1)]
TokenIds: TypeAlias = Annotated[list[int], Field(min_length=1)]
Prompts: TypeAlias = Annotated[
    list[str | list[int]],
    BeforeValidator(
        _prompts, json_schema_input_type=PromptText | list[PromptText] | TokenIds | list[TokenIds]
    ),
]


class CompletionRequest(GenerationFields):
    """The body of `POST /v1/completions`."""

    route: ClassVar[Route] = "completions"

    model_config = example(model="assistant", prompt="A check valve", max_tokens=16)

    prompt: Prompts
    max_tokens: int | None = Field(None, ge=0, le=INT32, description="0 needs echo")
    logprobs: Annotated[int | None, BeforeValidator(_number)] = Field(
        None, ge=0, le=MOST_ALTERNATIVES
    )
    echo: bool | None = None
    best_of: int | None = Field(None, ge=1, le=MOST_CHOICES)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.token_limit == 0 and not self.echo:
            raise field_refused("invalid_value", "max_tokens", "0 asks for nothing without echo")
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise field_refused("invalid_value", "best_of", "less than n")
        if self.stream and self.best_of is not None and self.best_of > (self.n or 1):
            why = "choices cannot be ranked while they are streamed"
            raise field_refused("invalid_value", "best_of", why)
        return self

    @property
    def token_limit(self) -> int | None:
        """16 when the client names no number."""
        limit = super().token_limit
        return _COMPLETION_TOKENS if limit is None else limit

    @property
    def alternatives(self) -> int | None:
        return self.logprobs


class CompletionLogprobs(BaseModel):
    """The log-probabilities of a choice; the lists run side by side, one entry a token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """The text and why it ended."""

    index: int = 0
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: str


class Completion(BaseModel):
    """The answer to a completion request that is not streamed."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage
