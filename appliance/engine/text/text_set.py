"""One expression that finds the longest of many texts at each place, in linear time.

Rules: the work at a place is bounded by the longest text, however many there are.
"""

import re
from collections.abc import Collection
from typing import Final

_DEEPEST: Final = 100  # groups in groups, which Python's compiler follows recursively


def longest_of(texts: Collection[str]) -> str:
    """The source of an expression that matches the longest of these texts at a place.

    Args:
        texts: at least one, none of them empty.
    """
    found = sorted(set(texts))
    try:
        return _branches(found, _DEEPEST)
    except RecursionError:  # hundreds of texts, each the beginning of the next
        return _joined(sorted(map(re.escape, found), key=len, reverse=True))


def _branches(texts: list[str], depth: int) -> str:
    """As above; `texts` are sorted, and an empty one makes the rest optional."""
    if not depth:
        raise RecursionError
    optional = not texts[0]
    if optional:
        texts = texts[1:]
    groups: list[list[str]] = []
    for text in texts:
        if groups and groups[-1][0][:1] == text[:1]:
            groups[-1].append(text)
        else:
            groups.append([text])
    sources = []
    for group in groups:
        same = _same(group[0], group[-1])  # sorted: what these two share, all of them do
        rest = [text[same:] for text in group]
        sources.append(
            re.escape(group[0][:same]) + (_branches(rest, depth - 1) if len(rest) > 1 else "")
        )
    source = _joined(sources)
    if not optional:
        return source
    return source + "?"


def _same(one: str, other: str) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def _joined(sources: list[str]) -> str:
    return "(?:" + "|".join(sources) + ")"
