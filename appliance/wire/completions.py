"""`POST /v1/completions`: what clients send and get; the rules are those of `generation`.

Source: OpenAI API reference, completions.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from appliance.wire.generation import INT32, GenerationFields, Usage, characters
from appliance.wire.unsupported import field_refused

_COMPLETION_TOKENS: Final = 16  # OpenAI's default for completions


def _one_prompt(prompt: Any) -> Any:
    """One text or one list of token ids, out of the four forms of the API."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        if len(prompt) > 1:
            why = "one prompt per request; send several requests"
            raise field_refused("unsupported_parameter", "", why)
        prompt = prompt[0]
    if not isinstance(prompt, str | list):
        raise ValueError("the prompt must be text or a list of token ids")
    if not prompt:
        raise ValueError("the prompt is empty")
    if isinstance(prompt, list) and not all(_is_token(token) for token in prompt):
        raise ValueError(f"token ids must be integers from 0 to {INT32}")
    return prompt


def _is_token(value: Any) -> bool:
    return type(value) is int and 0 <= value <= INT32


PromptText: TypeAlias = Annotated[str, Field(min_length=1)]
TokenIds: TypeAlias = Annotated[list[int], Field(min_length=1)]
Prompt: TypeAlias = Annotated[
    str | list[int],
    AfterValidator(characters),
    BeforeValidator(_one_prompt, json_schema_input_type=PromptText | list[PromptText] | TokenIds),
]


class CompletionRequest(GenerationFields):
    """The body of `POST /v1/completions`."""

    prompt: Prompt

    @property
    def token_limit(self) -> int | None:
        """The most tokens to generate; 16 when the client names no number."""
        return super().token_limit or _COMPLETION_TOKENS


class CompletionChoice(BaseModel):
    """The text and why it ended."""

    index: int = 0
    text: str
    logprobs: None = None
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
