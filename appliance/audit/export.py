"""Taking entries out of the log: tlog-tiles to verify elsewhere; OCSF, RFC 5424 and CSV to read.

Rules:
- Every body is decoded strictly and hashed to its stored leaf before it leaves.
- Tiles hold the bodies byte for byte, all inner nodes, every head that closed an epoch and the
  newest, and the genesis key: enough for a verifier that shares no code with this one.
- Texts (prompts and answers) never leave here. A cell that a spreadsheet would take for a formula
  begins with an apostrophe; control characters leave no format.
- Files are new; nothing is overwritten.

Sources: c2sp.org/tlog-tiles, RFC 5424, RFC 4180, OCSF 1.6 API Activity (6003).
"""

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from appliance.audit import prover, store
from appliance.audit.checkpoint import parse
from appliance.audit.entry import Entry
from appliance.audit.files import LogFiles
from appliance.audit.merkle import fold
from appliance.clock import iso
from appliance.db import open_readonly
from appliance.errors import AuditRefused, UsageError

TILE: Final = 256
COLUMNS: Final = (
    "seq", "time", "kind", "request_id", "key_id", "model", "status", "actor", "action", "leaf",
)  # fmt: skip
_FORMULA: Final = tuple("=+-@\t\r")


def export(directory: Path, form: str, out: Path) -> int:
    """Write all entries in a form of `FORMS`.

    Args:
        out: a file that does not exist, for tiles a directory.

    Returns:
        How many entries left.

    Raises:
        UsageError: `config_invalid` for another form, `data_exists` when `out` is there.
        AuditRefused: `audit_corrupt` when an entry does not verify.
        AuditUnavailable: when the disk refuses.
    """
    if form != "tiles" and form not in FORMS:
        raise UsageError("config_invalid", f"The form {form!r} is not known.")
    if out.exists():
        raise UsageError("data_exists", f"{out} exists already.")
    files = LogFiles(directory)
    files.check_present()
    engine = open_readonly(files.log)
    try:
        with store.unavailable("The export failed"), engine.connect() as connection:
            log = store.raw(connection)
            if form == "tiles":
                return _tiles(log, files, out)
            with out.open("x", encoding="utf-8", newline="") as file:
                count = 0
                for line in FORMS[form](entries(log)):
                    file.write(line)
                    count += 1
                return count
    finally:
        engine.dispose()


def entries(log: Any, end: int | None = None) -> Iterator[Entry]:
    """Verified entries in order. Raises AuditRefused (`audit_corrupt`)."""
    expected, last = 0, store.size(log) if end is None else end
    while rows := list(store.leaves(log, expected, last, 2_048)):
        for seq, _, stored, body in rows:
            entry = Entry.parse(body)
            if (seq, entry.seq, entry.leaf) != (expected, expected, stored):
                raise AuditRefused("audit_corrupt", f"Entry {expected} does not verify.")
            yield entry
            expected += 1


def tile_path(number: int, width: int) -> str:
    """Where a tile lies: groups of three digits, and its width when it is not complete."""
    groups = [f"{number % 1_000:03d}"]
    while number := number // 1_000:
        groups.insert(0, f"x{number % 1_000:03d}")
    return "/".join(groups) + ("" if width == TILE else f".p/{width}")


def cell(value: object) -> str:
    """A value that no spreadsheet takes for a formula, without control characters."""
    text = "" if value is None else str(value)
    text = "".join(c if c.isprintable() else " " for c in text)
    return "'" + text if text.startswith(_FORMULA) else text


def _csv(found: Iterator[Entry]) -> Iterator[str]:
    for entry in found:
        line = io.StringIO()
        known = {"time": iso(entry.time_us), "leaf": entry.leaf.hex(), **entry.body}
        csv.writer(line).writerow([cell(known.get(name)) for name in COLUMNS])
        yield line.getvalue()


def _rfc5424(found: Iterator[Entry]) -> Iterator[str]:
    for entry in found:
        # local0.notice; structured data under the private enterprise number for examples.
        pairs = {"seq": entry.seq, "leaf": entry.leaf.hex()}
        names = ("request_id", "key_id", "model", "status", "actor", "action")
        pairs |= {n: entry.body[n] for n in names if entry.body.get(n) is not None}
        data = " ".join(f'{name}="{_parameter(value)}"' for name, value in pairs.items())
        yield f"<133>1 {iso(entry.time_us)} - appliance - {entry.kind} [entry@32473 {data}]\n"


def _parameter(value: object) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _ocsf(found: Iterator[Entry]) -> Iterator[str]:
    for entry in found:
        body = entry.body
        activity = {"intent": 1, "outcome": 2}.get(entry.kind, 99)
        event: dict[str, object] = {
            "category_uid": 6,
            "class_uid": 6003,
            "activity_id": activity,
            "type_uid": 600_300 + activity,
            "severity_id": 1,
            "time": entry.time_us // 1_000,
            "status": body.get("status", "Unknown"),
            "actor": {"user": {"uid": body.get("key_id") or body.get("actor") or "appliance"}},
            "api": {"operation": entry.kind, "request": {"uid": body.get("request_id", "")}},
            "src_endpoint": {"ip": body.get("ip", "")},
            "ai_model": {"name": body.get("model", ""), "ai_provider": "appliance"},
            "message_context": {
                "prompt_tokens": body.get("prompt_tokens", 0),
                "completion_tokens": body.get("completion_tokens", 0),
            },
            "metadata": {
                "version": "1.6.0",
                "uid": str(entry.seq),
                "profiles": ["ai_operation"],
                "product": {"name": "appliance", "vendor_name": "appliance"},
            },
            # record_integrity is not in a released OCSF yet.
            "unmapped": {
                "record_integrity": {
                    "algorithm": "SHA-256",
                    "hash": entry.leaf.hex(),
                    "previous_hash": body["prev"],
                    "sequence": entry.seq,
                },
                "body": dict(body),
            },
        }
        yield json.dumps(event, ensure_ascii=True, separators=(",", ":")) + "\n"


FORMS: Final[dict[str, Callable[[Iterator[Entry]], Iterator[str]]]] = {
    "csv": _csv,
    "ocsf": _ocsf,
    "rfc5424": _rfc5424,
}


def _tiles(log: Any, files: LogFiles, out: Path) -> int:
    note = prover.newest(log)
    size = parse(note).checkpoint.size
    bodies: list[bytes] = []
    levels: list[list[bytes]] = [[]]
    counts = [0]
    for entry in entries(log, size):
        bodies.append(len(entry.raw).to_bytes(2) + entry.raw)
        levels[0].append(entry.leaf)
        if len(bodies) == TILE:
            _write(out / "tile" / "entries" / tile_path(counts[0], TILE), b"".join(bodies))
            bodies.clear()
            _promote(out, levels, counts)
    if bodies:
        _write(out / "tile" / "entries" / tile_path(counts[0], len(bodies)), b"".join(bodies))
    for level, nodes in enumerate(levels):
        if nodes:
            path = out / "tile" / str(level) / tile_path(counts[level], len(nodes))
            _write(path, b"".join(nodes))
    closing = [store.note_of(log, h.size) or b"" for h in prover.handovers(log) if h.size <= size]
    heads = [*closing, *([] if note in closing else [note])]
    _write(out / "heads", b"".join(base64.b64encode(head) + b"\n" for head in heads))
    _write(out / "genesis.pub", files.genesis.read_bytes())
    if files.certificate.exists():
        _write(out / "genesis.cert", files.certificate.read_bytes())
    _write(out / "checkpoint", note)
    return size


def _promote(out: Path, levels: list[list[bytes]], counts: list[int]) -> None:
    """Write the tiles that are complete now and put their roots one level up."""
    level = 0
    while len(levels[level]) == TILE:
        nodes = levels[level]
        _write(out / "tile" / str(level) / tile_path(counts[level], TILE), b"".join(nodes))
        if level + 1 == len(levels):
            levels.append([])
            counts.append(0)
        levels[level + 1].append(fold(nodes))
        levels[level] = []
        counts[level] += 1
        level += 1


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
