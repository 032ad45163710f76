"""Refusals of input that cannot fit a model's context. Pure."""

from typing import Any, Final

from appliance.errors import BadRequest, TooLarge
from appliance.types import GenerationRequest

MOST_VALUES: Final = 20_000
"""Most lists and objects of the calls and functions of a request: others wait while a worker reads
them.
"""


def check_values(asked: GenerationRequest) -> None:
    """Refuse too many lists and objects (`request_too_large`)."""
    left: list[Any] = [message.get("tool_calls") for message in asked.messages or ()]
    left += asked.tools.functions if asked.tools else ()
    seen = 0
    while left:
        value = left.pop()
        if not isinstance(value, dict | list):
            continue
        seen += 1
        if seen > MOST_VALUES:
            what = f"Calls and functions have more than {MOST_VALUES} lists and objects."
            raise TooLarge("request_too_large", what, param="messages")
        items = value.values() if isinstance(value, dict) else value
        left += [item for item in items if isinstance(item, dict | list)]


def check_count(messages: int, fewest: int, n_ctx: int) -> None:
    """Refuse too many messages before they are tokenised (`context_length_exceeded`).

    Args:
        fewest: tokens that a message takes at least; 0 where the template may leave some out.
    """
    if messages * fewest > n_ctx:
        raise too_long(n_ctx, f"at least {messages * fewest}")


def too_long(n_ctx: int, tokens: str, asked: str = "") -> BadRequest:
    """The refusal of a prompt that does not fit; `asked`: what the answer needs, in words."""
    return BadRequest(
        "context_length_exceeded",
        f"This model's maximum context length is {n_ctx} tokens. However, this "
        f"request has {tokens} tokens in the prompt{asked}.",
        param="messages",
    )
