"""The numbers of an answer, as the record keeps them and a replay compares them. Pure.

Rules: they are kept and erased with the texts, since they would betray short texts to guesses.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Final

import msgspec

from appliance.engine.logprobs import CHOSEN
from appliance.errors import AuditRefused

PART: Final = "computed"
"""The name of the text."""
_ID: Final = 4
_TOKEN: Final = _ID + 2
"""Bytes that are kept of each token: its id, and two of the SHA-256 of its `CHOSEN`."""


class ChoiceNumbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Those of one choice.

    Attributes:
        digest: SHA-256 of its vectors and of the `CHOSEN` of its tokens, in order.
        tokens: `_TOKEN` bytes of each, in base64.
    """

    digest: str
    tokens: str = ""

    def each(self) -> list[bytes]:
        raw = b64decode(self.tokens)
        return [raw[at : at + _TOKEN] for at in range(0, len(raw), _TOKEN)]


class AnswerNumbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Those of one answer; `prompt`: SHA-256 of its token ids."""

    prompt: str
    choices: tuple[ChoiceNumbers, ...]

    @classmethod
    def read(cls, text: bytes) -> "AnswerNumbers":
        try:
            found = msgspec.json.decode(text, type=cls)
            for choice in found.choices:
                choice.each()
        except (msgspec.MsgspecError, ValueError) as error:
            raise AuditRefused("audit_entry_invalid", f"The {PART} of a record: {error}") from error
        return found

    def text(self) -> bytes:
        return msgspec.json.encode(self)


class Computed:
    """The numbers of an answer while it is computed."""

    def __init__(self, prompt: bytes, choices: int) -> None:
        self._prompt = prompt
        self._all = [hashlib.sha256() for _ in range(choices)]
        self._tokens = [bytearray() for _ in range(choices)]

    def take(self, choice: int, vector: bytes, chosen: bytes) -> None:
        self._all[choice].update(vector + chosen)
        for at in range(0, len(chosen), CHOSEN.size):
            one = chosen[at : at + CHOSEN.size]
            self._tokens[choice] += one[:_ID] + hashlib.sha256(one).digest()[: _TOKEN - _ID]

    def numbers(self) -> AnswerNumbers:
        both = zip(self._all, self._tokens, strict=True)
        choices = (ChoiceNumbers(told.hexdigest(), b64encode(t).decode()) for told, t in both)
        return AnswerNumbers(self._prompt.hex(), tuple(choices))


def token_of(one: bytes) -> int:
    """The id of a token that `each` gives."""
    return int.from_bytes(one[:_ID], "little")


def differing(before: AnswerNumbers, now: AnswerNumbers) -> Iterator[tuple[int, int]]:
    """The choices that differ, and from which token on; -1 where no token shows it."""
    for choice, (one, other) in enumerate(zip(before.choices, now.choices, strict=True)):
        if one == other:
            continue
        was, found = one.each(), other.each()
        pairs = enumerate(zip(was, found, strict=False))
        shorter = min(len(was), len(found)) if len(was) != len(found) else -1
        yield choice, next((n for n, (a, b) in pairs if a != b), shorter)
