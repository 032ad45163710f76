"""`POST /v1/completions`: the request, and the answer as a document or as events."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep
from appliance.api.described import STREAMED
from appliance.api.json_body import JsonRoute
from appliance.api.openai.answer import Answer
from appliance.api.openai.formats import Format, PartialChoice
from appliance.api.openai.generate import answer
from appliance.api.openai.logprobs import completion_logprobs
from appliance.api.openai.requests import common_fields
from appliance.types import Delta, GenerationRequest
from appliance.wire.openai.completions import Completion, CompletionChoice, CompletionRequest

router = APIRouter(tags=["generate"], route_class=JsonRoute)


@router.post("/v1/completions", response_model=Completion, responses=STREAMED)
async def completions(request: Request, body: CompletionRequest, caller: CallerDep) -> Answer:
    """Continue a text, or several."""
    return answer(request, caller, body, completion_generations(body), CompletionFormat)


def completion_generations(body: CompletionRequest) -> list[GenerationRequest]:
    """Texts or token ids, taken as they are."""
    fields = {**common_fields(body), "best_of": body.best_of, "echo": bool(body.echo)}
    return [
        GenerationRequest(prompt=prompt, **fields)
        if isinstance(prompt, str)
        else GenerationRequest(tokens=tuple(prompt), **fields)
        for prompt in body.prompt
    ]


class _TextChoice(msgspec.Struct):
    text: str
    index: int
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None


class CompletionFormat(Format):
    """`/v1/completions`."""

    prefix = "cmpl"
    object = "text_completion"

    def whole(self, choices: Sequence[PartialChoice]) -> Completion:
        written = [
            CompletionChoice.model_validate(
                {
                    "index": index,
                    "text": choice.text,
                    "logprobs": completion_logprobs(choice.logprobs),
                    "finish_reason": choice.finish,
                }
            )
            for index, choice in enumerate(choices)
        ]
        return Completion(choices=written, usage=self.usage(), **self.head)

    def opening(self) -> bytes:
        return b""

    def piece(self, delta: Delta) -> bytes:
        logprobs = completion_logprobs(delta.logprobs)
        return self.event([_TextChoice(delta.text, delta.index, logprobs)])

    def end(self, last: Delta) -> bytes:
        ended = _TextChoice("", last.index, finish_reason=last.finish_reason)
        return self.event([ended], last=True)
