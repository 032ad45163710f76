"""Grammars as files of an artifact: forms of answers that a publisher signs with a model.

Rules: requests use the file's name without folder and extension; `.json` is a JSON schema, `.lark`
a grammar in the Lark of llguidance. Number, size and depth are bounded here; the confined worker
compiles all of them before the model serves (`engine.text.grammar`).
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from appliance.errors import SignatureRefused
from appliance.text import visible
from appliance.trust.bytes import strict_json

MOST: Final = 32
"""Grammars of one artifact."""
MAX_BYTES: Final = 64 << 10
MAX_DEPTH: Final = 64
"""Levels of a schema; bytes and levels are those that a request's schema may have."""
KINDS: Final = {".json": "json_schema", ".lark": "lark"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class SignedGrammar:
    """A signed grammar.

    Attributes:
        kind: json_schema or lark.
        sha256: hex, of the file.
    """

    name: str
    file: str
    kind: str
    text: str
    sha256: str


def name_of(file: str) -> str | None:
    """The name of the grammar in a file; None when it cannot be one."""
    path = PurePosixPath(file)
    return path.stem if path.suffix in KINDS and _NAME.fullmatch(path.stem) else None


def read(file: str, data: bytes) -> SignedGrammar:
    """A grammar from its signed bytes, of a file that `name_of` takes (`grammar_invalid`)."""
    path = PurePosixPath(file)

    def refuse(problem: str) -> SignatureRefused:
        return SignatureRefused("grammar_invalid", f"{visible(file, limit=200)}: {problem}.")

    if len(data) > MAX_BYTES:
        raise refuse(f"it has more than {MAX_BYTES} bytes")
    kind = KINDS[path.suffix]
    if kind == "json_schema" and not isinstance(
        strict_json.parse(data, refuse, depth=MAX_DEPTH), dict
    ):
        raise refuse("it is not an object")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise refuse("it is not a text in UTF-8") from error
    return SignedGrammar(path.stem, file, kind, text, hashlib.sha256(data).hexdigest())
