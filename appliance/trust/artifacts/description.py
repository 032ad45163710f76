"""`artifact.json`: what an artifact's publisher says about its other files; `model.sig` covers it.

An unknown key or value is refused. docs/trust.md has the schema.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from appliance.errors import SignatureRefused
from appliance.trust.artifacts import grammar
from appliance.trust.bytes import strict_json

FILE: Final = "artifact.json"
MAX_BYTES: Final = 64 << 10
MAX_ROLE_BYTES: Final = 256 << 10
"""Largest template."""
TEMPLATE: Final = "template"
GRAMMAR: Final = "grammar"
_ROLES: Final = frozenset({TEMPLATE, GRAMMAR})
MOST_PREFIX: Final = 64


class _Embedding(Struct, frozen=True, forbid_unknown_fields=True):
    query_prefix: str
    passage_prefix: str


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1, lt=1 << 53)]
    roles: dict[str, str] = {}
    embedding: _Embedding | UnsetType = UNSET


@dataclass(frozen=True)
class Description:
    """An artifact's own description.

    Attributes:
        version: counted up by the publisher; None when there is no `artifact.json`.
        template: name of the file with the chat template that replaces the model's.
        grammars: file of each grammar, by the name that requests use.
        query_prefix, passage_prefix: text that an embedding model wants before a query and before a
            passage; None where the publisher says nothing.
    """

    version: int | None = None
    template: str | None = None
    grammars: Mapping[str, str] = field(default_factory=dict)
    query_prefix: str | None = None
    passage_prefix: str | None = None

    @property
    def roles(self) -> dict[str, str]:
        roles = dict.fromkeys(self.grammars.values(), GRAMMAR)
        return roles if self.template is None else {**roles, self.template: TEMPLATE}


def parse(data: bytes, files: Collection[str]) -> Description:
    """Read `artifact.json`; `files` are those that the signature covers (`description_invalid`)."""
    found = strict_json.decode(data, _Document, _refuse, limit=MAX_BYTES)
    roles = found.roles
    for name, role in roles.items():
        if role not in _ROLES:
            raise _refuse(f"{name[:80]!r} has a role that is not known")
        if name not in files:
            raise _refuse(f"{name[:80]!r} has a role and is not in the artifact")
    templates = [name for name, role in roles.items() if role == TEMPLATE]
    if len(templates) > 1:
        raise _refuse("two files are the template")
    grammars = _grammars([name for name, role in roles.items() if role == GRAMMAR])
    prefixes = () if found.embedding is UNSET else structs.astuple(found.embedding)
    for prefix in prefixes:
        if len(prefix) > MOST_PREFIX or not (prefix.isprintable() and prefix.isascii()):
            raise _refuse(f"a prefix has more than {MOST_PREFIX} characters, or others than ASCII")
    return Description(found.version, templates[0] if templates else None, grammars, *prefixes)


def _grammars(files: list[str]) -> dict[str, str]:
    if len(files) > grammar.MOST:
        raise _refuse(f"{len(files)} grammars are more than {grammar.MOST}")
    named: dict[str, str] = {}
    for file in files:
        name = grammar.name_of(file)
        if name is None:
            raise _refuse(f"{file[:80]!r} cannot be a grammar: NAME.json or NAME.lark")
        if name in named:
            raise _refuse(f"two grammars have the name {name!r}")
        named[name] = file
    return named


_refuse: Final = SignatureRefused.of("description_invalid", FILE)
