"""`artifact.json`: what an artifact's publisher says about its other files.

Rules:
- The file is optional, lies beside the model and is covered by `model.sig` like any other file, so
  any OMS signer can make it and nobody but the publisher can change it.
- What is not understood is refused: an unknown field or role means that the publisher expects
  something which this version would not do.
- A role is given to a file of the same artifact. At most one file is the template.

docs/trust.md has the schema.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from appliance.errors import SignatureRefused
from appliance.trust import strict_json

FILE: Final = "artifact.json"
MAX_BYTES: Final = 64 << 10
MAX_ROLE_BYTES: Final = 256 << 10
"""Largest template."""
TEMPLATE: Final = "template"
_ROLES: Final = frozenset({TEMPLATE})
_MAX_VERSION: Final = 1 << 53


@dataclass(frozen=True)
class Description:
    """What an artifact says of itself.

    Attributes:
        version: counted up by the publisher; None when there is no `artifact.json`.
        template: name of the file that is the chat template in place of the model's own.
    """

    version: int | None = None
    template: str | None = None


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
    strict_json.only(value, {"version", "roles"}, "it", _refuse)
    version = strict_json.member(value, "version", int, _refuse)
    if not 1 <= version < _MAX_VERSION:
        raise _refuse("version must be positive")
    roles: dict[str, Any] = strict_json.optional(value, "roles", dict, {}, _refuse)
    for name, role in roles.items():
        if role not in _ROLES:
            raise _refuse(f"{name[:80]!r} has a role that is not known")
        if name not in files:
            raise _refuse(f"{name[:80]!r} has a role and is not in the artifact")
    templates = [name for name, role in roles.items() if role == TEMPLATE]
    if len(templates) > 1:
        raise _refuse("two files are the template")
    return Description(version, templates[0] if templates else None)


def _refuse(problem: str) -> SignatureRefused:
    return SignatureRefused("description_invalid", f"{FILE}: {problem}.")
