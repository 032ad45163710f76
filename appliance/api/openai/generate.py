"""What the routes that generate text share."""

from functools import partial

from fastapi import Request

from appliance.api.deps import services_of
from appliance.api.openai.answer import Answer
from appliance.api.openai.formats import Format
from appliance.api.openai.requests import log_ignored
from appliance.types import Caller, GenerationRequest
from appliance.wire.openai.generation import GenerationFields


def answer(
    request: Request,
    caller: Caller,
    body: GenerationFields,
    generation: GenerationRequest,
    form: type[Format],
) -> Answer:
    """The response to a request for text."""
    log_ignored(body, caller.request_id)
    return Answer(
        partial(services_of(request).inference.start, caller, generation),
        partial(form, request_id=caller.request_id, include_usage=body.include_usage),
        request_id=caller.request_id,
        stream=bool(body.stream),
    )
