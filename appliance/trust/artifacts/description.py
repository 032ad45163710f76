"""`artifact.json`: what an artifact's publisher says about its other files.

Rules:
- The file is optional, lies beside the model and is covered by `model.sig` like any other file, so
  any OMS signer can make it and only the publisher can change it.
- What is not understood is refused: an unknown field or role means that the publisher expects
  something which this version would not do.
- A role is given to a file of the same artifact. At most one file is the template, and no two
  grammars have one name.

docs/trust.md has the schema.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

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
_MAX_VERSION: Final = 1 << 53


@dataclass(frozen=True)
class Description:
    """What an artifact says of itself.

    Attributes:
        version: counted up by the publisher; None when there is no `artifact.json`.
        template: name of the file that is the chat template in place of the model's own.
        grammars: file of each grammar, by the name that requests use.
        query_prefix, passage_prefix: what an embedding model wants before a query and before a
            passage; None where the publisher says nothing.
    """

    version: int | None = None
    template: str | None = None
    grammars: Mapping[str, str] = field(default_factory=dict)
    query_prefix: str | None = None
    passage_prefix: str | None = None

    @property
    def roles(self) -> dict[str, str]:
        """The role of each file that has one."""
        roles = dict.fromkeys(self.grammars.values(), GRAMMAR)
        return roles if self.template is None else {**roles, self.template: TEMPLATE}


def parse(data: bytes, files: Collection[str]) -> Description:
    """Read `artifact.json`.

    Args:
        files: names of the files that the signature covers.

    Raises:
        SignatureRefused: `description_invalid`.
    """
    value = strict_json.parse(data, _refuse, limit=MAX_BYTES)
    if not isinstance(value, dict):
        raise _refuse("it is not an object")
    strict_json.only(value, {"version", "roles", "embedding"}, "it", _refuse)
    version = strict_json.member(value, "version", int, _refuse)
    if not 1 <= version < _MAX_VERSION:
        raise _refuse("version must be positive")
    roles: dict[str, Any] = strict_json.optional(value, "roles", dict, {}, _refuse)
    for name, role in roles.items():
        if type(role) is not str or role not in _ROLES:
            raise _refuse(f"{name[:80]!r} has a role that is not known")
        if name not in files:
            raise _refuse(f"{name[:80]!r} has a role and is not in the artifact")
    templates = [name for name, role in roles.items() if role == TEMPLATE]
    if len(templates) > 1:
        raise _refuse("two files are the template")
    grammars = _grammars([name for name, role in roles.items() if role == GRAMMAR])
    prefixes = _prefixes(value)
    return Description(version, templates[0] if templates else None, grammars, *prefixes)


def _prefixes(value: dict[str, Any]) -> tuple[str | None, str | None]:
    """What is put before queries and before passages."""
    if "embedding" not in value:
        return None, None
    embedding = strict_json.member(value, "embedding", dict, _refuse)
    strict_json.only(embedding, {"query_prefix", "passage_prefix"}, "embedding", _refuse)
    found = [
        strict_json.member(embedding, name, str, _refuse)
        for name in ("query_prefix", "passage_prefix")
    ]
    for prefix in found:
        if len(prefix) > MOST_PREFIX or not (prefix.isprintable() and prefix.isascii()):
            raise _refuse(f"a prefix has more than {MOST_PREFIX} characters, or others than ASCII")
    return found[0], found[1]


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


def _refuse(problem: str) -> SignatureRefused:
    return SignatureRefused("description_invalid", f"{FILE}: {problem}.")
