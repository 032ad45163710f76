"""`POST /v1/completions`: the request, and the answer as a document or as events."""

import msgspec
from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep
from appliance.api.openai.answer import Answer
from appliance.api.openai.formats import Format
from appliance.api.openai.generate import ALSO_STREAMED, answer
from appliance.api.openai.requests import common_fields
from appliance.types import GenerationRequest
from appliance.wire.completions import Completion, CompletionChoice, CompletionRequest

router = APIRouter(tags=["generate"])


@router.post("/v1/completions", response_model=Completion, responses=ALSO_STREAMED)
async def completions(request: Request, body: CompletionRequest, caller: CallerDep) -> Answer:
    """Continue a text."""
    return answer(request, caller, body, completion_generation(body), CompletionFormat)


def completion_generation(body: CompletionRequest) -> GenerationRequest:
    """A text or token ids, taken as they are."""
    if isinstance(body.prompt, str):
        return GenerationRequest(prompt=body.prompt, **common_fields(body))
    return GenerationRequest(tokens=tuple(body.prompt), **common_fields(body))


class _TextChoice(msgspec.Struct):
    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: str | None = None


class CompletionFormat(Format):
    """`/v1/completions`."""

    prefix = "cmpl"
    object = "text_completion"

    def whole(self, text: str, finish: str) -> Completion:
        """The answer as one document."""
        choice = CompletionChoice(text=text, finish_reason=finish)
        return Completion(choices=[choice], usage=self.usage(), **self.head)

    def opening(self) -> bytes:
        """Nothing."""
        return b""

    def piece(self, text: str, finish: str | None = None) -> bytes:
        """The chunk of one delta."""
        return self.event([_TextChoice(text, finish_reason=finish)])
