"""Lines of the palette, and which of them the typed letters mean.

Rules: letters may be left out between others; what can be done stands before what cannot.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.fuzzy import FuzzySearch


@dataclass(frozen=True)
class Choice:
    """One line: its words, its key, and its action; `why_not` says why it is not possible now."""

    words: str
    key: str
    action: str
    more: str = ""
    why_not: str = ""


def ranked(choices: Sequence[Choice], typed: str) -> list[Choice]:
    """Those that the letters fit, the best first; without letters all."""
    words = typed.lower().split()
    if not words:
        return list(choices)
    fuzzy = FuzzySearch()
    scored = []
    for number, choice in enumerate(choices):
        scores = [fuzzy.match(word, choice.words)[0] for word in words]
        if all(scores):
            whole = sum(word in choice.words.lower() for word in words)
            scored.append((bool(choice.why_not), -whole, -sum(scores), number, choice))
    return [choice for *_, choice in sorted(scored, key=lambda found: found[:4])]
