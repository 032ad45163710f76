"""From the schema of a request to what the use-case takes: what chat and completions share.

Rules: defaults are OpenAI's; fields that change no answer are dropped and, where unknown,
logged by name.
"""

import logging
from typing import Any, Final

from pydantic import BaseModel

from appliance.text import visible
from appliance.types import Sampling
from appliance.wire.anthropic.messages import Conversation
from appliance.wire.openai.fields import HARMLESS, REFUSED
from appliance.wire.openai.generation import GenerationFields
from appliance.wire.openai.responses_request import ResponsesRequest

_AS_THEY_ARE: Final = (
    "temperature", "top_p", "min_p", "typical_p", "presence_penalty", "frequency_penalty",
)  # fmt: skip
_MOST_LOGGED: Final = 20
_logger = logging.getLogger("appliance.api")


def log_ignored(body: GenerationFields | ResponsesRequest | Conversation, request_id: str) -> None:
    """Log the names of a request's unknown fields, without their values."""
    known = HARMLESS[body.route] | REFUSED[body.route].keys()
    ignored = sorted(set(body.model_extra or ()) - known)
    if ignored:
        names = ", ".join(visible(name, limit=40) for name in ignored[:_MOST_LOGGED])
        _logger.info("%s: ignored unknown fields: %s", request_id, names)


def common_fields(body: GenerationFields) -> dict[str, Any]:
    """Fields that do not depend on the route."""
    return {
        "model": body.model,
        "max_tokens": body.token_limit,
        "sampling": _sampling(body),
        "seed": body.seed,
        "n": body.n or 1,
        "stop": tuple(body.stop),
        "ignore_eos": bool(body.ignore_eos),
        "min_tokens": body.min_tokens or 0,
        "constraint": body.constraint,
        "priority": body.priority,
        "logprobs": body.alternatives,
    }


def person_of(body: BaseModel) -> str:
    """The user that an app names; "" for none."""
    more = body.model_extra or {}
    found = more.get("safety_identifier") or more.get("user")
    return found if isinstance(found, str) else ""


def _sampling(body: GenerationFields) -> Sampling:
    asked = {name: getattr(body, name) for name in _AS_THEY_ARE}
    return Sampling(
        top_k=max(body.top_k or 0, 0),
        repetition_penalty=body.repetition_penalty or body.repeat_penalty or 1.0,
        logit_bias=tuple((int(t), b) for t, b in (body.logit_bias or {}).items() if b),
        **{name: value for name, value in asked.items() if value is not None},
    )
