"""Text of a client that spells control tokens stays text.

Rules: whoever writes `<|im_end|>` into a message must not end a turn with it. Each spelling is
broken by a character that no client can send, the template is rendered, and the rendered text is
tokenised piece by piece, as llama.cpp reads control tokens within one piece only. Text that spells
none is not changed, and its tokens are those of the whole. A spelling that the end of a text cuts
off counts too: the next text could complete it. What a template itself begins and a text completes
is the template's doing.

The character is half of a surrogate pair, which UTF-8 cannot express. It needs no state across the
template's work: what trims, splits or escapes a text moves it along with the letters around it.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from appliance.errors import BadRequest

BREAK: Final = "\ud800"


class ControlTexts:
    """The texts of a vocabulary's control tokens.

    Args:
        texts: as the tokeniser looks for them; one of a single character cannot be broken.
    """

    def __init__(self, texts: Collection[str]) -> None:
        self._whole = frozenset(text for text in texts if len(text) > 1)
        self._beginnings = frozenset(t[:n] for t in self._whole for n in range(1, len(t) + 1))
        first = "".join(sorted({re.escape(text[0]) for text in self._whole}))
        self._first = re.compile(f"[{first}]" if first else "(?!)")

    def message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message with every spelling broken.

        Its role is no text: it is one of a few known words, and templates compare it.

        Raises:
            BadRequest: `template_failed`: nested too deeply to be rendered.
        """
        return {k: v if k == "role" else self.broken(v) for k, v in message.items()}

    def broken(self, value: Any) -> Any:
        """A part of a message or of a function with every spelling broken, in keys too.

        Raises:
            BadRequest: `template_failed`: nested too deeply to be rendered.
        """
        try:
            return self._value(value)
        except RecursionError as error:
            raise BadRequest(
                "template_failed", "The messages are nested too deeply.", param="messages"
            ) from error

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self._text(key): self._value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(item) for item in value]
        return value

    def _text(self, text: str) -> str:
        parts, done = [], 0
        for found in self._first.finditer(text):
            if self._spelled(text, found.start()):
                parts.append(text[done : found.end()])
                done = found.end()
        return BREAK.join([*parts, text[done:]])

    def _spelled(self, text: str, start: int) -> bool:
        """Whether a control token begins here, be it cut off by the end of the text."""
        end = start + 1
        while end <= len(text) and text[start:end] in self._beginnings:
            if text[start:end] in self._whole:
                return True
            end += 1
        return end > len(text)
