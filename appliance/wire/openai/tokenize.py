"""`POST /tokenize`, `POST /detokenize`, `GET /tokenizer_info`: what clients send and get.

Rules: `model` may be left out where the key may use one model only, because lm-eval sends none;
a conversation is rendered as for an answer; the rest as in `generation`.

Source: vLLM's OpenAI-compatible server, tokenizer API.
"""

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from appliance.types import Tools
from appliance.wire.openai.characters import characters
from appliance.wire.openai.chat import Message, TemplateSettings
from appliance.wire.openai.fields import RequestBody, Route
from appliance.wire.openai.generation import INT32, example
from appliance.wire.openai.tools import MOST_TOOLS, Tool, chosen
from appliance.wire.openai.unsupported import field_refused


class _OfModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    model: str | None = Field(None, min_length=1, max_length=256)


class TokenizeRequest(RequestBody, _OfModel):
    """The body of `POST /tokenize`: a `prompt`, or `messages` with their `tools`."""

    route: ClassVar[Route] = "tokenize"

    model_config = example(model="assistant", prompt="The pump leaks.")

    prompt: Annotated[str, AfterValidator(characters)] | None = None
    messages: list[Message] | None = Field(None, min_length=1, fail_fast=True)
    tools: list[Tool] | None = Field(None, max_length=MOST_TOOLS, fail_fast=True)
    chat_template_kwargs: TemplateSettings | None = None
    add_special_tokens: bool | None = Field(
        None, description="false keeps the begin token from a prompt; a template writes its own"
    )
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise field_refused("invalid_value", "prompt", "exactly one of prompt and messages")
        if self.messages is None and (self.tools or self.chat_template_kwargs):
            raise field_refused("invalid_value", "prompt", "only conversations use the template")
        return self

    @property
    def offer(self) -> Tools | None:
        """For the template to describe."""
        return chosen([tool.function for tool in self.tools or ()], None, None, None)

    @property
    def thinking(self) -> bool | None:
        """None leaves it to the model."""
        return self.chat_template_kwargs.enable_thinking if self.chat_template_kwargs else None


class Tokenized(BaseModel):
    """The token ids; with `return_token_strs` the text of each as far as it is UTF-8."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(_OfModel):
    """The body of `POST /detokenize`."""

    model_config = example(model="assistant", tokens=[1, 2, 3])

    tokens: list[Annotated[int, Field(ge=0, le=INT32)]] = Field(fail_fast=True)


class Detokenized(BaseModel):
    """Spelling of the tokens, control tokens by their names."""

    prompt: str


class TokenizerInfo(BaseModel):
    """Facts for a client that builds prompts itself; null where the model has no such token."""

    model: str
    max_model_len: int
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    add_bos_token: bool
    chat_template: str
