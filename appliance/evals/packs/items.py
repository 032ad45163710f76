"""The items of the packs, read from the package and checked against their digests.

Rules: a file with other bytes is refused, since figures of two releases would not compare.
Sources: the items are our own, the English sentences from the product's documents; the English text
is sections 1 to 5 of the Apache licence 2.0.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal

from appliance.errors import EvaluationRefused

PINS: Final = {
    "beside-de.txt": "2cefb402497f179630b8f037b747ef8830a95be62ba3ece39fb3d65cf0fb3642",
    "beside-en.txt": "c891152646eb3e3f99ea2cebfe7ede3fc14ab383b0586fa7024f727f41df4db8",
    "frozen-de.txt": "d9ed0b9c53fb46f75fd14f3606e4519f11d5fd7c3d711333a5a937dc1de158a8",
    "frozen-en.txt": "ceb9415f9b66895d99d471f4e9563f222815420fd4e0d758300ff532a4fca5b2",
    "general.jsonl": "9615b00cf0a41ed2b7ba840ee6ed25ccd271c0a712e266ed5741e9d170b7902c",
    "refusals.jsonl": "0e3e950c326319de842f33839f945adfd9be390529b8ec1c053d7468f26f6c96",
}
"""SHA-256 of each file."""
PACKS: Final = ("general", "refusals", "frozen")
FILES: Final = {"general": "general.jsonl", "refusals": "refusals.jsonl"}
"""The packs whose items are right or wrong, each with its file."""
LETTERS: Final = ("A", "B", "C", "D")
_CHUNK: Final = 600
"""Characters of a frozen text that are scored together, so that any context holds them."""

Kind = Literal["choice", "number", "word", "refusal", "text"]


@dataclass(frozen=True)
class PackItem:
    """One item.

    Attributes:
        prompt: a question, or the text that is scored.
        expected: the letter, the number, the word, "answer" or "refuse"; "" for a text.
    """

    id: str
    language: str
    kind: Kind
    prompt: str
    expected: str


@lru_cache
def items(pack: str) -> tuple[PackItem, ...]:
    """Items of a pack. Raises EvaluationRefused (`pack_changed`)."""
    if pack == "frozen":
        return tuple(
            PackItem(f"frozen-{language}-{number:02}", language, "text", chunk, "")
            for language in ("en", "de")
            for number, chunk in enumerate(_chunks(_read(f"frozen-{language}.txt")), 1)
        )
    rows = [json.loads(line) for line in _read(FILES[pack]).splitlines()]
    made = _refusal if pack == "refusals" else _general
    return tuple(made(row) for row in rows)


def sentences() -> tuple[PackItem, ...]:
    """Texts for losses by a tuning; raises as `items`."""
    return tuple(
        PackItem(f"beside-{language}-{number:03}", language, "text", line, "")
        for language in ("en", "de")
        for number, line in enumerate(_read(f"beside-{language}.txt").splitlines(), 1)
    )


def _general(row: dict[str, Any]) -> PackItem:
    if row["kind"] != "choice":
        return PackItem(row["id"], row["language"], row["kind"], row["question"], row["answer"])
    english = row["language"] == "en"
    named = zip(LETTERS, row["choices"], strict=True)
    asked = "Answer with the letter." if english else "Antworte mit dem Buchstaben."
    prompt = "\n".join([row["question"], *(f"{a}) {text}" for a, text in named), asked])
    letter = LETTERS[row["choices"].index(row["answer"])]
    return PackItem(row["id"], row["language"], "choice", prompt, letter)


def _refusal(row: dict[str, Any]) -> PackItem:
    return PackItem(row["id"], row["language"], "refusal", row["prompt"], row["expected"])


def _chunks(text: str) -> list[str]:
    found, piece = [], ""
    for word in text.split():
        if len(piece) + len(word) >= _CHUNK:
            found.append(piece)
            piece = ""
        piece = f"{piece} {word}".strip()
    return found


def _read(name: str) -> str:
    data = resources.files(__package__).joinpath(name).read_bytes()
    if hashlib.sha256(data).hexdigest() != PINS[name]:
        raise EvaluationRefused("pack_changed", f"{name} has other bytes than this version's.")
    return data.decode()
