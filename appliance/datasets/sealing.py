"""Sealed splits: encrypted items of a dataset, and the seal's facts about them.

Rules:
- Splits are encrypted with AES-256-GCM under a key of this seal only, which is stored only wrapped
  by the appliance's key-encryption key; nothing but `open_part` decrypts one.
- The seal has numbers and marks of groups, never items. It is authenticated with each ciphertext.
- Marks (`marks`) are checked against the items when a part is opened.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.audit import content
from appliance.datasets.duplicates import plain
from appliance.datasets.items import Item, parse_line
from appliance.datasets.ledger import FALLING, QUARTERS
from appliance.datasets.marks import SplitMarks, of_item
from appliance.errors import AuditRefused, DatasetRefused
from appliance.trust.bytes import strict_json

FILE: Final = "seal.json"
SEALED: Final = ("certify", "test")
SEALABLE: Final = (*SEALED, "unlabelled")
"""Unlabelled items are sealed on request: people label those on which a gate's sides differ."""
FORMAT: Final = 2
"""From the second on items have marks, and the first look spends most of alpha."""
MAX_SEAL: Final = 256 << 20
_CONTENT_FROM: Final = 64
"""Characters of plain text from which a group's content says which group it is."""
_NONCE: Final = content.NONCE_BYTES


@dataclass(frozen=True)
class SealKey:
    """A key for one seal.

    Attributes:
        key: encrypts its splits; only in memory.
        wrapped: `key`, encrypted by the key-encryption key.
        kek: id of the key-encryption key.
    """

    id: str
    key: bytes
    wrapped: bytes
    kek: str
    marks: bytes


@dataclass(frozen=True)
class SealedPart:
    """A seal's statement about one split.

    Attributes:
        names, contents: the marks of its groups, sorted.
        keyed: the marks of its items, sorted; none in a seal of the first format.
    """

    items: int
    groups: int
    names: tuple[str, ...]
    contents: tuple[str, ...]
    strata: tuple[str, ...] = ()
    keyed: tuple[str, ...] = ()

    @property
    def marks(self) -> SplitMarks:
        return SplitMarks(frozenset(self.names), frozenset(self.contents), self.keyed)

    def document(self) -> dict[str, int | list[str]]:
        return {
            "items": self.items,
            "groups": self.groups,
            "names": list(self.names),
            "contents": list(self.contents),
            "strata": list(self.strata),
            **({"marks": list(self.keyed)} if self.keyed else {}),
        }


@dataclass(frozen=True)
class Seal:
    """`seal.json`."""

    id: str
    kek: str
    wrapped: bytes
    parts: Mapping[str, SealedPart]
    format: int = FORMAT

    @property
    def schedule(self) -> tuple[int, ...]:
        """In millionths, over looks."""
        return QUARTERS if self.format == 1 else FALLING

    def document(self) -> bytes:
        table = {
            "format": self.format,
            "id": self.id,
            "kek": self.kek,
            "key": self.wrapped.hex(),
            "splits": {name: part.document() for name, part in self.parts.items()},
        }
        return strict_json.dump(table)


def sealed_file(split: str) -> str:
    """The file of a sealed split."""
    return f"{split}.sealed"


def key_id(seal_id: str) -> str:
    """Name of a seal's key for its wrapping."""
    return f"seal-{seal_id}"


def name_mark(dataset: str, group: str) -> str:
    """The mark of a group's name within its dataset."""
    return hashlib.sha256(f"name\0{dataset}\0{group}".encode()).hexdigest()


def describe(dataset: str, items: Sequence[Item], key: bytes | None = None) -> SealedPart:
    """A split's facts; items have marks where the site has a key of marks."""
    texts: dict[str, list[str]] = defaultdict(list)
    for item in items:
        texts[item.group].append(plain(item.text))
    contents = {_content(held) for held in texts.values() if sum(map(len, held)) >= _CONTENT_FROM}
    return SealedPart(
        len(items),
        len(texts),
        tuple(sorted(name_mark(dataset, group) for group in texts)),
        tuple(sorted(contents)),
        tuple(sorted({item.stratum for item in items if item.stratum is not None})),
        () if key is None else tuple(sorted(of_item(key, item.text) for item in items)),
    )


def _content(texts: Iterable[str]) -> str:
    whole = "\0".join(sorted(texts))
    return hashlib.sha256(f"content\0{whole}".encode()).hexdigest()


def seal_part(key: SealKey, split: str, dataset: str, items: Sequence[Item]) -> bytes:
    """Nonce and ciphertext."""
    part = describe(dataset, items, key.marks)
    text = b"".join(item.line() for item in items)
    found = content.encrypt(key.key, key_id(key.id), _place(split, part), text)
    return found.nonce + found.ciphertext


def open_part(
    seal: Seal, split: str, dataset: str, data: bytes, kek: bytes, marks: bytes
) -> tuple[Item, ...]:
    """Decrypt a split, in memory.

    Raises:
        DatasetRefused: `dataset_seal_foreign` under another key-encryption key;
            `dataset_seal_invalid` when the items are not those of the seal.
    """
    part = seal.parts[split]
    name = key_id(seal.id)
    try:
        key = content.unwrap(kek, name, seal.wrapped)
    except AuditRefused as error:
        raise DatasetRefused(
            "dataset_seal_foreign", f"The seal {seal.id} was not made on this appliance."
        ) from error
    sealed = content.EncryptedText(data[:_NONCE], data[_NONCE:])
    try:
        text = content.decrypt(key, name, _place(split, part), sealed)
    except AuditRefused as error:
        raise _invalid(f"the split {split} does not decrypt") from error
    items = tuple(
        parse_line(line, f"{split}, line {number}")
        for number, line in enumerate(text.split(b"\n")[:-1], 1)
    )
    if describe(dataset, items, None if seal.format == 1 else marks) != part:
        raise _invalid(f"the split {split} holds other items than it tells")
    return items


def _place(split: str, part: SealedPart) -> str:
    return f"{split}|{hashlib.sha256(strict_json.dump(part.document())).hexdigest()}"


def parse(data: bytes) -> Seal:
    """Raises DatasetRefused (`dataset_seal_invalid`)."""
    value = strict_json.parse(data, _invalid, limit=MAX_SEAL)
    if not isinstance(value, dict):
        raise _invalid("it is not an object")
    strict_json.only(value, {"format", "id", "kek", "key", "splits"}, "it", _invalid)
    format_ = strict_json.member(value, "format", int, _invalid)
    if not 1 <= format_ <= FORMAT:
        raise _invalid(f"its format is none of 1 to {FORMAT}")
    splits = strict_json.member(value, "splits", dict, _invalid)
    if not splits or not splits.keys() <= set(SEALABLE):
        raise _invalid(f"it seals other splits than {', '.join(SEALABLE)}")
    try:
        wrapped = bytes.fromhex(strict_json.member(value, "key", str, _invalid))
    except ValueError as error:
        raise _invalid("key is not hex") from error
    return Seal(
        strict_json.member(value, "id", str, _invalid),
        strict_json.member(value, "kek", str, _invalid),
        wrapped,
        {name: _part(entry, marked=format_ > 1) for name, entry in splits.items()},
        format_,
    )


def _part(entry: object, *, marked: bool) -> SealedPart:
    if isinstance(entry, dict):
        known = {"items", "groups", "names", "contents", "strata", *(["marks"] if marked else ())}
        strict_json.only(entry, known, "a split", _invalid)
    items, groups = (strict_json.member(entry, n, int, _invalid) for n in ("items", "groups"))
    names, contents, strata = (
        strict_json.strings(entry, name, _invalid) for name in ("names", "contents", "strata")
    )
    keyed: list[Any] = strict_json.member(entry, "marks", list, _invalid) if marked else []
    if not all(type(mark) is str for mark in keyed):
        raise _invalid("a mark is no text")
    if (
        not 0 < groups <= items
        or len(names) != groups
        or len(contents) > groups
        or (marked and len(keyed) != items)
    ):
        raise _invalid("its numbers do not agree")
    return SealedPart(items, groups, names, contents, strata, tuple(keyed))


_invalid: Final = DatasetRefused.of("dataset_seal_invalid", FILE)
