"""Rows of training: token ids of a prompt and of its answer. Pure.

Rules:
- The ids come from the engine that serves; nothing here tokenises.
- Only the answer and the token that ends it are learned: without that the model would not stop.
- Every token of a label is learned: its score is the sum over all its tokens (docs/tasks.md).
- Rows that are too long are refused by name, the longest first. Nothing is cut.
"""

import hashlib
from collections.abc import Sequence
from itertools import takewhile

import msgspec

from appliance.errors import TuningRefused
from appliance.text import many

_SHOWN = 20


class TokenRow(msgspec.Struct, frozen=True, array_like=True):
    """One example in tokens.

    Attributes:
        prompt: as the server renders it, ready for the answer.
        answer: with the token that ends it.
    """

    item: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.prompt + self.answer

    @property
    def inputs(self) -> tuple[int, ...]:
        """All but the last token."""
        return self.tokens[:-1]


def digest(rows: Sequence[TokenRow]) -> str:
    """SHA-256 of all ids in order, and which are learned."""
    hashed = hashlib.sha256()
    for row in rows:
        for part in (row.prompt, row.answer):
            hashed.update(len(part).to_bytes(8, "little"))
            hashed.update(b"".join(token.to_bytes(4, "little") for token in part))
    return hashed.hexdigest()


def common_prefix(rows: Sequence[TokenRow]) -> int:
    """At least one token of each prompt is left."""
    if not rows:
        return 0
    shortest = min((row.prompt for row in rows), key=len)
    columns = zip(*(row.prompt[: len(shortest) - 1] for row in rows), strict=True)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def check(rows: Sequence[TokenRow], *, stop: int, begin: int | None, longest: int) -> None:
    """Refuse rows that would teach something else than is served.

    Args:
        stop: the token that ends an answer.
        begin: the token that begins a text, None where the model has none.
        longest: most tokens of a row.

    Raises:
        TuningRefused: `tuning_row_too_long`, `tuning_stop_untrained`, `tuning_double_begin`.
    """
    long = sorted((r for r in rows if len(r.tokens) > longest), key=lambda r: -len(r.tokens))
    _refuse(
        "tuning_row_too_long",
        f"with more than {longest} tokens",
        [f"{row.item[:80]} ({len(row.tokens)})" for row in long],
    )
    _refuse(
        "tuning_stop_untrained",
        f"without the token {stop} at the end, or with it within the answer",
        [r.item[:80] for r in rows if r.answer.count(stop) != 1 or r.answer[-1] != stop],
    )
    _refuse(
        "tuning_double_begin",
        f"with the token {begin} twice at the beginning",
        [r.item[:80] for r in rows if begin is not None and r.prompt[:2] == (begin, begin)],
    )


def _refuse(code: str, what: str, named: Sequence[str]) -> None:
    if named:
        more = "" if len(named) <= _SHOWN else f" and {len(named) - _SHOWN} more"
        shown = ", ".join(named[:_SHOWN])
        raise TuningRefused(code, f"{many(len(named), 'row')} {what}: {shown}{more}.")
