"""Disks after a loss of power, made from a trace of the real writer.

strace records every write, truncation, removal, rename and sync of the audit directory, and the
acknowledgements on stdout. An image is a possible disk after operation k: everything synced, and of
the rest any subset in any order, torn at sectors of 512 bytes.

Method: SQLite's test6.c and ALICE (OSDI 2014), on the system calls of the product itself.
"""

import random
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import need_tool

CHECKOUT = Path(__file__).parents[2]
SECTOR = 512
_CALLS = "write,pwrite64,lseek,ftruncate,unlink,rename,fsync,fdatasync"
_LINE = re.compile(r"^(\w+)\((.*)\) = (-?\d+)")
_FD = re.compile(r"^(\d+)<([^>]*)>(?:, )?(.*)$", re.S)
_UNFINISHED = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")


@dataclass(frozen=True)
class Op:
    """One operation.

    `write` (name, offset, data), `cut` (name, size), `remove`, `rename`, `sync` or `said` (data).
    """

    what: str
    name: str = ""
    at: int = 0
    data: bytes = b""


def record(directory: Path, mode: str) -> list[Op]:
    trace = directory.with_suffix(".ops")
    strace = [need_tool("strace"), "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={_CALLS}"]
    appender = [sys.executable, "-m", "tests.audit.appender", str(directory), mode]
    subprocess.run(
        [*strace, "-o", str(trace), *appender], stdout=subprocess.DEVNULL, check=True, cwd=CHECKOUT
    )
    ops: list[Op] = []
    offsets: dict[str, int] = {}
    for call, rest in _calls(trace.read_text(encoding="ascii").splitlines()):
        op = _op(call, rest, directory, offsets)
        if op is not None:
            ops.append(op)
    return ops


def _calls(lines: list[str]) -> list[tuple[str, str]]:
    begun: dict[str, str] = {}
    found = []
    for line in lines:
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished[1]] = unfinished[2]
            continue
        if resumed := _RESUMED.match(line):
            whole = begun.pop(resumed[1], "") + resumed[2]
        else:
            whole = line.split(None, 1)[1]
        call = _LINE.match(re.sub(r"\) +=", ") =", whole))
        if call and not call[3].startswith("-"):
            found.append((call[1], call[2]))
    return found


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.strip('"').replace("\\x", ""))


def _op(call: str, rest: str, directory: Path, offsets: dict[str, int]) -> Op | None:
    if call in ("unlink", "rename"):
        paths = [Path(_plain(part).decode()) for part in rest.split(", ")]
        if paths[0].parent != directory:
            return None
        return Op(
            "remove" if call == "unlink" else "rename", paths[0].name, data=paths[-1].name.encode()
        )
    fd = _FD.match(rest)
    if fd is None:
        return None
    path = Path(_plain(fd[2]).decode() if fd[2].startswith("\\x") else fd[2])
    if call == "write" and fd[1] == "1":
        return Op("said", data=_plain(fd[3].rsplit(", ", 1)[0]))
    if path == directory:
        return Op("sync")
    if path.parent != directory or path.name.endswith("-shm"):
        return None
    return _file_op(call, path.name, fd[3], offsets)


def _file_op(call: str, name: str, rest: str, offsets: dict[str, int]) -> Op | None:
    if call == "lseek":
        offsets[name] = int(rest.split(", ")[0])
        return None
    if call in ("fsync", "fdatasync"):
        return Op("sync", name)
    if call == "ftruncate":
        return Op("cut", name, int(rest))
    if call == "pwrite64":
        text, _, place = rest.rsplit(", ", 2)
        return Op("write", name, int(place), _plain(text))
    data = rest.rsplit(", ", 1)[0]
    at = offsets.get(name, 0)
    offsets[name] = at + len(_plain(data))
    return Op("write", name, at, _plain(data))


def said(ops: list[Op]) -> list[tuple[int, str]]:
    """Acknowledged sequence numbers and leaf hashes."""
    text = b"".join(op.data for op in ops if op.what == "said").decode()
    lines = [line.split() for line in text.split("\n")[:-1]]
    return [(int(line[0]), line[1]) for line in lines if len(line) == 2]


def image(before: Path, ops: list[Op], dice: random.Random, to: Path) -> None:
    files = {p.name: bytearray(p.read_bytes()) for p in before.iterdir() if p.is_file()}
    for name in [n for n in files if n.endswith("-shm")]:
        del files[name]
    last = {op.name: n for n, op in enumerate(ops) if op.what == "sync"}
    for n, op in enumerate(ops):
        if op.what in ("rename", "remove"):
            if n < last.get("", -1) or dice.random() < 0.5:
                _move(files, op)
        elif op.what in ("write", "cut"):
            _apply(files, op, synced=n < last.get(op.name, -1), dice=dice)
    to.mkdir()
    for name, data in files.items():
        (to / name).write_bytes(data)


def _move(files: dict[str, bytearray], op: Op) -> None:
    data = files.pop(op.name, None)
    if op.what == "rename" and data is not None:
        files[op.data.decode()] = data


def _apply(files: dict[str, bytearray], op: Op, *, synced: bool, dice: random.Random) -> None:
    file = files.setdefault(op.name, bytearray())
    data, fate = op.data, dice.random()
    if not synced and fate < 0.4:
        return
    if op.what == "cut":
        del file[op.at :]
        return
    if not synced and fate < 0.6:
        data = data[: dice.randrange(len(data) + 1) // SECTOR * SECTOR]
    elif not synced and fate < 0.7:
        data = dice.randbytes(len(data))
    if len(file) < op.at:
        file.extend(bytes(op.at - len(file)))
    file[op.at : op.at + len(data)] = data
