"""Shared steps of the routes that generate text."""

from collections.abc import Sequence
from functools import partial

from fastapi import Request

from appliance.api.deps import asking_for, services_of
from appliance.api.openai.answer import Answer
from appliance.api.openai.formats import Format
from appliance.api.openai.requests import log_ignored, person_of
from appliance.api.openai.several import start_all
from appliance.types import Caller, GenerationRequest
from appliance.wire.openai.generation import GenerationFields


def answer(
    request: Request,
    caller: Caller,
    body: GenerationFields,
    generations: Sequence[GenerationRequest],
    form: type[Format],
) -> Answer:
    """One generation for each prompt."""
    log_ignored(body, caller.request_id)
    asker = asking_for(request, caller, person_of(body))
    return Answer(
        partial(start_all, services_of(request).inference, asker, generations),
        partial(form, request_id=caller.request_id, usage=body.stream_usage),
        request_id=caller.request_id,
        stream=bool(body.stream),
    )
