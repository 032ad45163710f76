"""Text of a client that spells control tokens stays text.

Rules: each spelling, such as `<|im_end|>`, is broken by a character that no client can send (half
of a surrogate pair), the template is rendered, and the rendered text is tokenised piece by piece,
as llama.cpp reads control tokens within one piece only. A spelling that the end of a text cuts off
counts too. The template's work on a text moves the character along.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping
from typing import Any, Final

from appliance.engine import effort
from appliance.engine.text.text_set import longest_of
from appliance.errors import BadRequest
from appliance.types import JsonValue

BREAK: Final = "\ud800"


class ControlTexts:
    """The texts of a vocabulary's control tokens.

    Args:
        texts: as the tokeniser looks for them; one of a single character cannot be broken.
    """

    def __init__(self, texts: Collection[str]) -> None:
        self._whole = sorted({text for text in texts if len(text) > 1})
        self._longest = max(map(len, self._whole), default=0)
        first = "".join(sorted({re.escape(text[0]) for text in self._whole}))
        self._first = re.compile(f"[{first}]" if first else "(?!)")
        spelled = f"(?={longest_of(self._whole)})." if first else "(?!)"
        self._spelled = re.compile(spelled, re.DOTALL)  # the first character of each

    def message(self, message: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """A message with every spelling broken, except in its role, which templates compare.

        `template_failed`: nested too deeply to be rendered.
        """
        return {k: v if k == "role" else self.broken(v) for k, v in message.items()}

    def broken(self, value: Any) -> Any:
        """A part of a message or of a function likewise, in keys too."""
        try:
            return self._value(value)
        except RecursionError as error:
            raise BadRequest(
                "template_failed", "The messages are nested too deeply.", param="messages"
            ) from error

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list | tuple):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {self._text(key): self._value(item) for key, item in value.items()}
        return value

    def _text(self, text: str) -> str:
        effort.check()
        parts, done = [], 0
        for end in self._breaks(text):
            parts.append(text[done:end])
            done = end
        return BREAK.join([*parts, text[done:]])

    def _breaks(self, text: str) -> list[int]:
        """Positions after a control token's first character; the text may end within the token."""
        ends = [found.end() for found in self._spelled.finditer(text)]
        last = ends[-1] if ends else 0
        for found in self._first.finditer(text, max(0, len(text) - self._longest + 1)):
            if found.end() > last and self._begins(text[found.start() :]):
                ends.append(found.end())
        return ends

    def _begins(self, text: str) -> bool:
        at = bisect_left(self._whole, text)
        return at < len(self._whole) and self._whole[at].startswith(text)
