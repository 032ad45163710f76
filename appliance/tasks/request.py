"""An app's request to a task: its input only, without settings that the task has made.

Rules: a request with a setting of its own is refused by name, except for settings without meaning
for a form without sampling. The app's system message, which agents always send, is not used, and
the answer and the log say so.
"""

from typing import Final

from appliance.errors import BadRequest
from appliance.types import GenerationRequest

SYSTEM: Final = "system"


def content_of(request: GenerationRequest) -> str:
    """The app's one message besides system messages, or its prompt.

    Raises:
        BadRequest: `task_input_invalid`; `task_parameter`, naming the field.
    """
    _check_parameters(request)
    if request.messages is not None:
        turns = [turn for turn in request.messages if turn.get("role") != SYSTEM]
        content = turns[0].get("content") if len(turns) == 1 else None
        if content is None or turns[0].get("role") != "user" or not isinstance(content, str):
            raise BadRequest(
                "task_input_invalid",
                "A task takes one message with the role user: its prompt is its own, and it"
                " remembers no conversation.",
                param="messages",
            )
        return content
    if request.prompt is None:
        raise BadRequest("task_input_invalid", "A task takes text, not tokens.", param="prompt")
    return request.prompt


def unused(request: GenerationRequest) -> tuple[str, ...]:
    """Fields that an app sent and the task does not use."""
    given = any(turn.get("role") == SYSTEM for turn in request.messages or ())
    return (SYSTEM,) if given else ()


def _check_parameters(request: GenerationRequest) -> None:
    brought = {
        "tools": request.tools,
        "response_format": request.constraint,
        "n": request.choices > 1,
        "logprobs": request.logprobs is not None,
        "echo": request.echo,
        "stop": request.stop,
        "logit_bias": request.sampling.logit_bias,
        "min_tokens": request.min_tokens,
        "ignore_eos": request.ignore_eos,
    }
    for name, value in brought.items():
        if value:
            raise BadRequest(
                "task_parameter", f"{name} is the task's to set, not the request's.", param=name
            )
