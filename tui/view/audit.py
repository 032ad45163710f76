"""The audit screens: entries, one entry in full, a search, a verification.

Rules: a body is shown with every field as it is; a search names its conditions, and an unknown one
is refused with the known ones.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from textual.content import Content

from appliance.errors import BadRequest
from appliance.types import JsonValue
from appliance.wire.admin.models import AuditHead, Entry, EntryQuery, Verification
from tui.columns import Column
from tui.text import QUIET, WHOLE, Cell, alarm, cell, labelled, line, quiet, state
from tui.view.units import clock, count, many

COLUMNS: Final = (
    Column("SEQ", 9, right=True),
    Column("TIME", 19, drop=2),
    Column("KIND", 9),
    Column("WHAT", 0, least=30),
    Column("LEAF", 34, drop=3),  # of 16; WHAT has the rest
)
HELP: Final = "kind= model= app= person= key= code= request= since= until=, or a sequence number"
_TOLD: Final = (
    "action", "actor", "model", "event", "before", "to", "state", "status", "app", "name", "code",
    "approver", "reason", "request_id", "key_id", "entry", "end_user", "end_user_from",
)  # fmt: skip
_NAMES: Final = {"key": "key_id", "request": "request_id", "person": "end_user"}
_CONDITIONS: Final = (
    "kind", "model", "app", "key_id", "code", "request_id", "since", "until", "before",
    "end_user",
)  # fmt: skip
_LONGEST: Final = 4_000


def row(entry: Entry) -> Sequence[Cell]:
    """One entry."""
    return (str(entry.seq), clock(entry.time), entry.kind, summary(entry.body), entry.leaf[:16])


def summary(body: Mapping[str, JsonValue]) -> str:
    """Summarise an entry in one line."""
    pairs = [(name, body[name]) for name in _TOLD if body.get(name) not in (None, "")]
    return " ".join(f"{name}={value}" for name, value in pairs)


def detail(entry: Entry, width: int) -> list[Content]:
    """One entry whole."""
    room = max(map(len, (*entry.body, "leaf hash")))
    told = line(f"{entry.seq}", cell(entry.kind, "bold"), clock(entry.time))
    said = labelled("entry", told, width, room)
    said += [*labelled("leaf hash", entry.leaf, width, room), Content("")]
    for name in sorted(entry.body):
        said += labelled(name, _value(entry.body[name]), width, room, limit=WHOLE)
    for name, text in (entry.content or {}).items():
        said += [Content(""), cell(f"{name} (decrypted; recorded)", "bold")]
        for part in text[:_LONGEST].split("\n"):
            said += cell(part, limit=_LONGEST).wrap(width) or [Content("")]
        if len(text) > _LONGEST:
            said.append(quiet(f"{count(len(text) - _LONGEST)} more characters"))
    return said


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def has_texts(entry: Entry) -> bool:
    """True if texts were kept with an entry."""
    kept = entry.body.get("content")
    return isinstance(kept, dict) and bool(kept.get("parts"))


def query(text: str, limit: int) -> EntryQuery:
    """The search that was typed, the newest first.

    Raises:
        BadRequest: `invalid_value` for a condition that there is not, or a value out of range.
    """
    given: dict[str, JsonValue] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        name = _NAMES.get(name, name)
        if not equals and word.isascii() and word.isdecimal():
            given["before"] = int(word) + 1
        elif not equals:
            given["kind"] = word
        elif name in _CONDITIONS:
            given[name] = value
        else:
            raise BadRequest("invalid_value", f"{name} is none of {HELP}.", param=name)
    return EntryQuery.of(**given, order="newest", limit=limit)


def replays(head: AuditHead) -> list[Content]:
    """The answers that were computed again, if any."""
    if not head.replayed and head.difference is None:
        return []
    same = f"{count(head.replayed_same)} of {many(head.replayed, 'answer')} the same"
    if head.difference is None:
        return [line(state("ok"), "computed again:", same)]
    return [line(state("failed"), "computed again:", same, f"entry {head.difference} is not")]


def place(text: str, page: int, shown: Sequence[Entry], entries: int, *, more: bool) -> Content:
    """Which entries are on the screen."""
    told = [f"search {text!r}" if text else "all entries", f"{count(entries)} in the log"]
    if shown:
        told.append(f"{shown[-1].seq} to {shown[0].seq}")
    elif more:
        told.append("none in the newest; ] looks further back")
    told.append(f"page {page}" + ("" if more else ", the last"))
    return line(*map(quiet, told))


def verification(found: Verification, width: int) -> list[Content]:
    """Write a verification's findings."""
    last = "-" if found.last is None else str(found.last)
    said = [line(state("verified" if found.ok else "failed"), f"entries {found.first} to {last}")]
    said += labelled("entries", count(found.entries), width)
    said += labelled("root", found.root, width)
    said += labelled("open", f"{many(found.open_intents, 'request')} without an outcome yet", width)
    said += labelled("no witness", f"{many(found.unwitnessed, 'entry')}", width)
    for problem in found.problems:
        where = "the log" if problem.seq is None else f"entry {problem.seq}"
        said.append(line(alarm(where), cell(problem.code, "bold")))
        message = cell(problem.message, limit=WHOLE)
        said += [Content("  ") + part for part in message.wrap(max(10, width - 2))]
    if found.problem_count > len(found.problems):
        said.append(alarm(f"and {count(found.problem_count - len(found.problems))} more"))
    if not found.ok:
        said.append(cell("Keep the files as evidence; do not repair them.", QUIET))
    return said
