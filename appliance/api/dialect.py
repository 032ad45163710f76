"""Which API a path belongs to: Anthropic's messages, or OpenAI's with all else.

Rule: only what writes errors and headers asks; no answer depends on it.
"""

from typing import Final

MESSAGES: Final = "/v1/messages"


def speaks_anthropic(path: str) -> bool:
    """True of the routes of Anthropic's API."""
    return path == MESSAGES or path.startswith(f"{MESSAGES}/")
