"""Log-probabilities as the two routes write them.

Rules: chat names a token by its text and, exactly, by its bytes; completions by its text, or as
`bytes:\\xe2\\x80` where it is no whole text, so that two tokens never share a name by accident.
The alternatives of completions hold the token itself, too, as in OpenAI's API.
"""

from collections.abc import Sequence
from typing import Any

from appliance.types import TokenLogprob


def chat_logprobs(entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """The object of a chat choice; None when nothing was asked for."""
    if not entries:
        return None
    content = [
        {
            **_chat_token(entry.token, entry.logprob),
            "top_logprobs": [_chat_token(token, value) for token, value in entry.top],
        }
        for entry in entries
    ]
    return {"content": content, "refusal": None}


def _chat_token(token: bytes, logprob: float | None) -> dict[str, Any]:
    return {"token": token.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(token)}


def completion_logprobs(entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """The object of a completion's choice; None when nothing was asked for."""
    if not entries:
        return None
    return {
        "tokens": [_name(entry.token) for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [_alternatives(entry) for entry in entries],
        "text_offset": [entry.offset for entry in entries],
    }


def _alternatives(entry: TokenLogprob) -> dict[str, float] | None:
    if entry.logprob is None:
        return None
    found: dict[str, float] = {}
    for token, value in (*entry.top, (entry.token, entry.logprob)):
        found.setdefault(_name(token), value)
    return found


def _name(token: bytes) -> str:
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)
