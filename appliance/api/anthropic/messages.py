"""`POST /v1/messages` and `POST /v1/messages/count_tokens`; both run as a chat does."""

from functools import partial

from fastapi import APIRouter, Request

from appliance.api.anthropic.events import MessagesFormat, failed_event
from appliance.api.deps import CallerDep, asking_for, services_of
from appliance.api.described import STREAMED, in_messages
from appliance.api.json_body import JsonRoute, computed
from appliance.api.openai.answer import Answer
from appliance.api.openai.requests import log_ignored
from appliance.types import GenerationRequest, Sampling
from appliance.wire.anthropic.messages import CountRequest, MessagesRequest
from appliance.wire.anthropic.reply import MessageReply, TokenCount

router = APIRouter(tags=["generate"], route_class=JsonRoute)


@router.post("/v1/messages", response_model=MessageReply, responses=in_messages(STREAMED))
async def messages(request: Request, body: MessagesRequest, caller: CallerDep) -> Answer:
    """Answer a conversation, in the shape of Anthropic's API."""
    log_ignored(body, caller.request_id)
    asked = await computed(request, message_generation, body)
    person = body.metadata.user_id if body.metadata else None
    asker = asking_for(request, caller, person or "")
    return Answer(
        partial(services_of(request).inference.start, asker, asked),
        partial(MessagesFormat, request_id=caller.request_id),
        request_id=caller.request_id,
        stream=bool(body.stream),
        failed=partial(failed_event, caller.request_id),
    )


@router.post("/v1/messages/count_tokens")
async def count_tokens(request: Request, body: CountRequest, caller: CallerDep) -> TokenCount:
    """The length of a conversation as the model would read it."""
    log_ignored(body, caller.request_id)
    asked = GenerationRequest(
        model=body.model,
        messages=body.spoken(),
        tools=body.offer,
        thinking=body.reasons,
        request_id=caller.request_id,
    )
    found = await services_of(request).tokenizers.tokens(caller.principal, asked)
    return TokenCount(input_tokens=len(found.tokens))


def message_generation(body: MessagesRequest) -> GenerationRequest:
    """A conversation, to be rendered by the model's template."""
    return GenerationRequest(
        model=body.model,
        messages=body.spoken(),
        max_tokens=body.max_tokens,
        sampling=Sampling(
            temperature=1.0 if body.temperature is None else body.temperature,
            top_k=max(body.top_k or 0, 0),
            top_p=1.0 if body.top_p is None else body.top_p,
        ),
        stop=tuple(body.stop_sequences or ()),
        constraint=body.constraint,
        tools=body.offer,
        thinking=body.reasons,
    )
