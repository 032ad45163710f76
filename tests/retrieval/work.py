"""Counts the work of patterns and of Python code, so that a test needs no clock.

A pattern is walked as `re` walks it, with its backtracking, and each comparison of a character is a
step. Only the constructs of our patterns are known; others are refused.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

_parser: Any = importlib.import_module("re._parser")


class Steps:
    def __init__(self) -> None:
        self.count = 0

    def search_all(self, pattern: re.Pattern[str], text: str) -> None:
        """As `finditer`, with a comparison of the finds."""
        tree, at, found = list(_parser.parse(pattern.pattern, pattern.flags)), 0, []
        while at <= len(text):
            end = next(self._ways(tree, text, at), None)
            if end is not None:
                found.append((at, end))
            at = max(at + 1, end or 0)
        assert found == [one.span() for one in pattern.finditer(text)]

    def _ways(self, tree: Sequence[Any], text: str, at: int) -> Iterator[int]:
        """Possible ends of a match of these nodes, in the order of `re`."""
        if not tree:
            yield at
            return
        (name, value), rest = tree[0], tree[1:]
        kind = str(name)
        if kind == "SUBPATTERN":
            yield from self._ways([*value[3], *rest], text, at)
        elif kind == "BRANCH":
            for branch in value[1]:
                yield from self._ways([*branch, *rest], text, at)
        elif kind == "ASSERT_NOT":
            if next(self._ways(list(value[1]), text, at), None) is None:
                yield from self._ways(rest, text, at)
        elif kind == "MAX_REPEAT":
            yield from self._repeated(value, rest, text, at)
        elif at < len(text) and self._fits(kind, value, text[at]):
            yield from self._ways(rest, text, at + 1)
        else:
            self.count += 1

    def _repeated(self, value: Any, rest: Sequence[Any], text: str, at: int) -> Iterator[int]:
        least, most, inner = value
        ends = [[at]]
        while ends[-1] and len(ends) <= int(
            most
        ):  # all of our repeats take one character, or one group
            ends.append(
                [end for end in self._ways(list(inner), text, ends[-1][0]) if end > ends[-1][0]][:1]
            )
        for number in range(len(ends) - 1, int(least) - 1, -1):
            for end in ends[number]:
                yield from self._ways(rest, text, end)

    def _fits(self, kind: str, value: Any, character: str) -> bool:
        self.count += 1
        if kind == "IN":
            known = {"CATEGORY_SPACE": r"\s", "CATEGORY_DIGIT": r"\d"}
            negated = str(value[0][0]) == "NEGATE"
            hit = any(
                re.fullmatch(known[str(given)], character)
                if str(name) == "CATEGORY"
                else chr(given) == character
                for name, given in value[negated:]
            )
            return hit is not negated
        return {"LITERAL": character == chr(value), "NOT_LITERAL": character != chr(value)}[kind]


def instructions(work: Callable[[], object]) -> int:
    """Number of executed instructions of Python code."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
