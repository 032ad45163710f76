"""Beginnings of prompts that all apps may share the KV cells of: an admin's, and those of tasks.

A prompt shares only a whole beginning: an app can time whether it knows the text, not how much of
it. Only the server can name the beginning of a task.
"""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Sequence as ReadOnly
from typing import Any, Final

from appliance.engine.prefixes import common
from appliance.engine.prepare import Preparer
from appliance.engine.text.dialects import Message
from appliance.errors import BadRequest
from appliance.types import GenerationRequest

_KEPT: Final = 64
"""Beginnings of tasks that are kept as tokens."""


class Registered:
    """The registered beginnings of one model, as token ids.

    Args:
        texts: each is a system message of chats, and the beginning of plain prompts.
    """

    def __init__(self, preparer: Preparer, texts: ReadOnly[str]) -> None:
        self._preparer = preparer
        self._of_tasks: OrderedDict[str, list[int]] = OrderedDict()
        self._lock = threading.Lock()  # two threads prepare
        self._beginnings: list[list[int]] = []
        for text in texts:
            # The last token is left out: it may merge with what follows.
            self._beginnings.append(self._tokens(prompt=text)[:-1])
            self._beginnings.append(self._before(({"role": "system", "content": text},)))
        self._beginnings.sort(key=len, reverse=True)

    def shared(self, tokens: list[int], task: ReadOnly[Message] = ()) -> int:
        """Leading tokens of a prompt that a whole registered beginning has, or the messages `task`;
        else 0.
        """
        beginnings = [*self._beginnings, self._of_task(task)] if task else self._beginnings
        return max((len(b) for b in beginnings if tokens[: len(b)] == b), default=0)

    def _of_task(self, messages: ReadOnly[Message]) -> list[int]:
        key = repr(messages)
        with self._lock:
            if key in self._of_tasks:
                self._of_tasks.move_to_end(key)
                return self._of_tasks[key]
        found = self._before(messages)
        with self._lock:
            if found:  # else this request had no time left
                self._of_tasks[key] = found
            if len(self._of_tasks) > _KEPT:
                self._of_tasks.popitem(last=False)
        return found

    def _before(self, messages: ReadOnly[Message]) -> list[int]:
        one, other = (
            self._tokens(messages=(*messages, {"role": "user", "content": question}))
            for question in ("a", "Z")
        )
        return one[: max(0, common(one, other) - 1)]

    def _tokens(self, **prompt: Any) -> list[int]:
        with contextlib.suppress(BadRequest):  # no system role, or too long: nothing to share
            return self._preparer.tokens(GenerationRequest("", **prompt))
        return []
