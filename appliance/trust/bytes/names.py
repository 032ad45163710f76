"""The relative paths that may name a file of an artifact, and the ids that a model may have.

Rules: the same name must mean the same file on every system: relative, `/`-separated, NFC,
printable, bounded, without `.`, `..`, empty parts, backslashes or drive letters; two names of one
artifact may not differ in case only.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

SIGNATURE_FILE: Final = "model.sig"
"""The OMS bundle inside an artifact; never listed in its own manifest."""

TASK_FILE: Final = "task.toml"
MAIN_FILES: Final = (TASK_FILE, "route.toml", "dataset.json")
"""An artifact that is no model has one of these, and no GGUF file."""

IGNORED_PATHS: Final = frozenset({".git", ".github", ".gitattributes", ".gitignore"})
"""Top-level paths that OMS v1.0 leaves out of a manifest by default."""

_ID: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
MODEL_ID: Final = re.compile(f"{_ID}(:{_ID})?")
"""A model, or an adapter: `BASE:NAME`."""

MAX_PATH: Final = 1_024
MAX_PART: Final = 255
_DRIVE: Final = re.compile(r"[A-Za-z]:")


def problem(name: str) -> str | None:
    """The problem of a path, as the end of a sentence, if any."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    parts = name.split("/")
    if size > MAX_PATH or any(len(part.encode()) > MAX_PART for part in parts):
        return "is too long"
    if any(part in ("", ".", "..") for part in parts):
        return "is not a plain relative path"
    if "\\" in name or _DRIVE.match(name):
        return "has a backslash or a drive letter"
    if not name.isprintable():
        return "has characters that do not print"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode normal form C"
    return None


def twins(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that are equal, or differ in case only, if any."""
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFKC", name).casefold()
        if folded in seen:
            return seen[folded], name
        seen[folded] = name
    return None
