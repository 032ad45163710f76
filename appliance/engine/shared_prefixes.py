"""Beginnings of prompts that an admin registered, so that all apps may share their KV cells.

A prompt shares a registered beginning only if it has the whole of it: what an app can time is
whether it knows the text, not how much of it. Pure, apart from the tokeniser.
"""

import contextlib
from collections.abc import Sequence as ReadOnly
from typing import Any

from appliance.engine.prefixes import common
from appliance.engine.prepare import Preparer
from appliance.engine.protocol import Prepare
from appliance.errors import BadRequest
from appliance.types import Sampling


class Registered:
    """The registered beginnings of one model, as token ids.

    Args:
        preparer: renders and tokenises as for a request.
        texts: each is a system message of chats, and the beginning of plain prompts.
    """

    def __init__(self, preparer: Preparer, texts: ReadOnly[str]) -> None:
        self._preparer = preparer
        self._beginnings: list[list[int]] = []
        for text in texts:
            # The last token is left out: it may merge with what follows.
            self._beginnings.append(self._tokens(prompt=text)[:-1])
            one, other = (self._tokens(messages=_chat(text, question)) for question in ("a", "Z"))
            self._beginnings.append(one[: max(0, common(one, other) - 1)])
        self._beginnings.sort(key=len, reverse=True)

    def shared(self, tokens: list[int]) -> int:
        """How many leading tokens of a prompt are a registered beginning; 0 if none is whole."""
        for beginning in self._beginnings:
            if tokens[: len(beginning)] == beginning:
                return len(beginning)
        return 0

    def _tokens(self, **prompt: Any) -> list[int]:
        with contextlib.suppress(BadRequest):  # no system role, or too long: nothing to share
            return self._preparer.tokens(Prepare(id=0, sampling=Sampling(), **prompt))
        return []


def _chat(system: str, user: str) -> tuple[dict[str, Any], ...]:
    return ({"role": "system", "content": system}, {"role": "user", "content": user})
