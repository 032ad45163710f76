"""`task.toml` with another candidate and the next version; the rest as its author wrote it. Pure.

Rule: the result is read again, and is refused if it differs from the source by more than the
candidate and the version.
"""

import json
import re
from typing import Final

import msgspec

from appliance.errors import TaskRefused
from appliance.tasks.definition import TaskAnswerer, parse

_TABLE: Final = re.compile(
    r"^\[candidate\][^\n]*\n(?:[^\n]*\n)*?(?=(?:[ \t]*(?:#[^\n]*)?\n)*(?:\[|\Z))", re.MULTILINE
)
"""The table, without the blank lines and comments that belong to the next one."""
_VERSION: Final = re.compile(r"^version\s*=\s*\d+", re.MULTILINE)


def with_candidate(data: bytes, candidate: TaskAnswerer) -> bytes:
    """The next version's definition, with another candidate.

    Raises:
        TaskRefused: `task_invalid` when the file cannot be read, or has no table `[candidate]`.
    """
    before = parse(data)
    text = data.decode() + ("" if data.endswith(b"\n") else "\n")
    table, version = "[candidate]\n" + _lines(candidate), f"version = {before.version + 1}"
    text, tables = _TABLE.subn(lambda _: table, text)
    text, versions = _VERSION.subn(version, text, count=1)
    made = text.encode()
    wanted = msgspec.structs.replace(before, candidate=candidate, version=before.version + 1)
    if tables != 1 or versions != 1 or parse(made) != wanted:
        raise TaskRefused(
            "task_invalid",
            "task.toml cannot be rewritten: it needs one table [candidate] and a line `version = N`"
            " of its own.",
        )
    return made


def _lines(candidate: TaskAnswerer) -> str:
    default = TaskAnswerer()
    pairs = {name: getattr(candidate, name) for name in candidate.__struct_fields__}
    return "".join(
        f"{name} = {json.dumps(value)}\n"
        for name, value in pairs.items()
        if name == "kind" or value != getattr(default, name)
    )
