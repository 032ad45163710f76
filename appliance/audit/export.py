"""Taking entries out of the log: tlog-tiles to verify elsewhere; OCSF, CEF, syslog and CSV to read.

Rules:
- Every body is decoded strictly and hashed to its stored leaf before it leaves.
- Texts (prompts and answers) never leave. A cell that a spreadsheet would take for a formula begins
  with an apostrophe; control characters are removed.

Sources: c2sp.org/tlog-tiles, RFC 4180.
"""

import base64
import contextlib
import csv
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from appliance.audit import ocsf, prover, store
from appliance.audit.checkpoint import b64, parse
from appliance.audit.entry import END_USER, LogEntry
from appliance.audit.files import LogFiles
from appliance.audit.merkle import TILE_LEVELS, Frontier, fold
from appliance.audit.segments import Log, Segments
from appliance.audit.syslog import EXAMPLES, cef, syslog
from appliance.clock import iso
from appliance.errors import AuditRefused, UsageError
from appliance.text import spreadsheet_cell

Progress: TypeAlias = Callable[[int, int], None]
TILE: Final = 256
COLUMNS: Final = (
    "seq", "time", "kind", "request_id", "key_id", "model", "status", "actor", "action", "leaf",
    *END_USER,
)  # fmt: skip


def export(
    directory: Path,
    form: str,
    out: Path,
    progress: Progress = lambda done, total: None,
    enterprise: int = EXAMPLES,
) -> int:
    """Write all entries of the log, in a form of `FORMS`; their number.

    Args:
        out: a new file, for tiles a new directory.
        progress: gets entries done and entries in all; may raise to stop the export.

    Raises:
        UsageError: `config_invalid` for another form, `data_exists` when `out` exists.
        AuditRefused: `audit_corrupt` when an entry does not verify.
    """
    if form != "tiles" and form not in FORMS:
        raise UsageError("config_invalid", f"The form {form!r} is not known.")
    if out.exists():
        raise UsageError("data_exists", f"{out} exists already.")
    files = LogFiles(directory)
    files.check_present()
    files.check_untouched()
    segments = Segments(files)
    try:
        with store.unavailable("The export failed"), segments.open() as log:
            if form == "tiles":
                out.mkdir(parents=True)
                with _whole(out):
                    return _tiles(log, files, out, progress)
            origin = files.verifier_key().name
            with out.open("x", encoding="utf-8", newline="") as file, _whole(out):
                count = 0
                if form == "csv":
                    csv.writer(file).writerow(COLUMNS)
                for line in FORMS[form](entries(log, progress=progress), origin, enterprise):
                    file.write(line)
                    count += 1
                return count
    finally:
        segments.close()


def entries(
    log: Log, end: int | None = None, progress: Progress = lambda done, total: None
) -> Iterator[LogEntry]:
    """Verified entries in order."""
    expected, last = log.first, store.size(log) if end is None else end
    progress(0, last - log.first)
    while rows := list(store.leaves(log, expected, last, 2_048)):
        for seq, _, stored, body in rows:
            entry = LogEntry.parse(body)
            if (seq, entry.seq, entry.leaf) != (expected, expected, stored):
                raise AuditRefused("audit_corrupt", f"Entry {expected} does not verify.")
            yield entry
            expected += 1
        progress(expected - log.first, last - log.first)


def tile_path(number: int, width: int) -> str:
    """Path of a tile: groups of three digits, and its width when it is not complete."""
    groups = [f"{number % 1_000:03d}"]
    while number := number // 1_000:
        groups.insert(0, f"x{number % 1_000:03d}")
    return "/".join(groups) + ("" if width == TILE else f".p/{width}")


def _csv(found: Iterator[LogEntry]) -> Iterator[str]:
    for entry in found:
        line = io.StringIO()
        known = {"time": iso(entry.time_us), "leaf": entry.leaf.hex(), **entry.body}
        csv.writer(line).writerow([spreadsheet_cell(known.get(name)) for name in COLUMNS])
        yield line.getvalue()


FORMS: Final[dict[str, Callable[[Iterator[LogEntry], str, int], Iterator[str]]]] = {
    "csv": lambda found, _origin, _enterprise: _csv(found),
    "ocsf": lambda found, origin, _enterprise: ocsf.events(found, origin),
    "cef": lambda found, origin, _enterprise: (cef(entry, origin) + "\n" for entry in found),
    "rfc5424": lambda found, origin, enterprise: (
        syslog(entry, origin, enterprise) + "\n" for entry in found
    ),
}


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if out.is_dir():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)
        raise


def _tiles(log: Log, files: LogFiles, out: Path, progress: Progress) -> int:
    note = prover.newest(log)
    size = parse(note).checkpoint.size
    bodies: list[bytes] = []
    levels, counts = _above_pruned(log, out)
    for entry in entries(log, size, progress):
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
    chain = [handover for handover in prover.handovers(log) if handover.size <= size]
    if log.first:
        gone = [handover.encode() for handover in chain if handover.size <= log.first]
        peaks = Frontier.at(log.first, store.subtree(log)).peaks()
        lines = [str(log.first), *map(b64, peaks), ""]
        _write(out / "start", "\n".join(lines).encode())
        _write(out / "handovers", b"".join(base64.b64encode(record) + b"\n" for record in gone))
    closing = [store.note_of(log, h.size) or b"" for h in chain if h.size > log.first]
    heads = [*closing, *([] if note in closing else [note])]
    _write(out / "heads", b"".join(base64.b64encode(head) + b"\n" for head in heads))
    _write(out / "genesis.pub", files.genesis.read_bytes())
    if files.certificate.exists():
        _write(out / "genesis.cert", files.certificate.read_bytes())
    _write(out / "checkpoint", note)
    return size - log.first


def _above_pruned(log: Log, out: Path) -> tuple[list[list[bytes]], list[int]]:
    """Nodes and numbers of the tiles at which each level continues; complete ones are written."""
    levels: list[list[bytes]] = [[]]
    counts = [log.first // TILE]
    while width := log.first >> TILE_LEVELS * len(levels):
        level = len(levels)
        nodes = [store.node(log, TILE_LEVELS * level, index) or b"" for index in range(width)]
        for number in range(width // TILE):
            tile = nodes[number * TILE : (number + 1) * TILE]
            _write(out / "tile" / str(level) / tile_path(number, TILE), b"".join(tile))
        levels.append(nodes[width // TILE * TILE :])
        counts.append(width // TILE)
    return levels, counts


def _promote(out: Path, levels: list[list[bytes]], counts: list[int]) -> None:
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
