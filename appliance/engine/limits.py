"""Refusals of input that cannot fit a model's context. Pure."""

from appliance.errors import BadRequest


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
