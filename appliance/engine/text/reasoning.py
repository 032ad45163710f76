"""Splits what a model thinks from what it answers: `<think>…</think>` before the answer.

Rules: tags count only at the beginning of the answer; white space around the reasoning is dropped.
"""

from typing import Final, Literal, TypeAlias

Thinking: TypeAlias = Literal["", "tags", "open"]
"""No reasoning; the answer may begin with the tag; the prompt ended with the tag."""

BEGIN, END = "<think>", "</think>"
_SPACE: Final = " \t\r\n"


class Reasoning:
    """One answer. Feed it with `push`, then call `finish` once."""

    def __init__(self, thinking: Thinking) -> None:
        self._state = {"": "body", "tags": "start", "open": "thinking"}[thinking]
        self._held = ""
        self._begun = False

    @property
    def thinks(self) -> bool:
        return self._state in ("thinking", "gap")

    def push(self, text: str) -> tuple[str, str]:
        """The reasoning and answer that are now certain."""
        self._held += text
        if self._state == "start":
            self._open()
        reasoning = self._think() if self._state == "thinking" else ""
        if self._state == "gap":
            self._held = self._held.lstrip(_SPACE)
            if self._held:
                self._state = "body"
        return reasoning, self._take() if self._state == "body" else ""

    def finish(self) -> tuple[str, str]:
        held = self._take()
        if self._state == "thinking":
            return held.rstrip(_SPACE), ""
        return "", held if self._state == "start" else ""

    def _open(self) -> None:
        begun = self._held.lstrip(_SPACE)
        if begun.startswith(BEGIN):
            self._state, self._held = "thinking", begun[len(BEGIN) :]
        elif not BEGIN.startswith(begun):
            self._state = "body"

    def _think(self) -> str:
        if not self._begun:
            self._held = self._held.lstrip(_SPACE)
            self._begun = bool(self._held)
        at = self._held.find(END)
        if at >= 0:
            reasoning, self._held = self._held[:at].rstrip(_SPACE), self._held[at + len(END) :]
            self._state = "gap"
            return reasoning
        certain = self._held
        for size in range(min(len(certain), len(END) - 1), 0, -1):
            if certain.endswith(END[:size]):
                certain = certain[:-size]
                break
        certain = certain.rstrip(_SPACE)
        self._held = self._held[len(certain) :]
        return certain

    def _take(self) -> str:
        out, self._held = self._held, ""
        return out
