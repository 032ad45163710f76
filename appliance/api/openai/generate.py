"""`POST /v1/chat/completions` and `POST /v1/completions`."""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.api.openai.answer import Answer
from appliance.api.openai.formats import ChatFormat, CompletionFormat, Format
from appliance.api.openai.requests import chat_generation, completion_generation, log_ignored
from appliance.types import Caller, GenerationRequest
from appliance.wire.openai import ChatCompletion, ChatRequest, Completion, CompletionRequest

router = APIRouter(tags=["generate"])
_ALSO_STREAMED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The answer; with `stream` as server-sent events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=_ALSO_STREAMED)
async def chat(request: Request, body: ChatRequest, caller: CallerDep) -> Answer:
    """Answer a conversation."""
    return _answer(request, caller, body, chat_generation(body), ChatFormat)


@router.post("/v1/completions", response_model=Completion, responses=_ALSO_STREAMED)
async def completions(request: Request, body: CompletionRequest, caller: CallerDep) -> Answer:
    """Continue a text."""
    return _answer(request, caller, body, completion_generation(body), CompletionFormat)


def _answer(
    request: Request,
    caller: Caller,
    body: ChatRequest | CompletionRequest,
    generation: GenerationRequest,
    form: type[Format],
) -> Answer:
    log_ignored(body, caller.request_id)
    return Answer(
        partial(services_of(request).inference.start, caller, generation),
        partial(form, request_id=caller.request_id, include_usage=body.include_usage),
        request_id=caller.request_id,
        stream=bool(body.stream),
    )
