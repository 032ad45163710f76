#!/usr/bin/env python3
"""The second verifier of audit logs: one file, Python's standard library, nothing else.

    verify_export.py DIRECTORY [GENESIS.pub [AUDIT]]

DIRECTORY is what `appliance audit export --format tiles` wrote. GENESIS.pub is the log's first key
as you keep it yourself; without it the one in the export is taken, which proves nothing about whose
log it is. Exit: 0 all holds, 1 problems were found (one line each: entry, code, reason), 2 usage.

It checks, for every entry: canonical bytes, the fields of its kind, number, predecessor's hash,
epoch, intent and outcome; the RFC 6962 tree over all entries against all tiles and every head in
`heads`; each head's signature by the key of its own epoch only; each change of keys by the old
key; and that the export holds nothing else.

AUDIT is the log's own directory (DATA/audit), on the appliance or a copy. With it: each text that
an entry names is stored, is the one named, has a nonce of 12 bytes, and has a wrapped key, unless
an `erase` entry names the entry. Whether the key opens the text only `appliance audit verify` can
tell, which has AES.

Where the beginning was pruned, tree and keys continue from `start` and `handovers`, and an entry
`prune` with two people's approvals must say so; what these people signed is not checked here.

It does not check that nothing was cut off the end: compare
the size printed with a checkpoint, a receipt or a witness that you keep. The site's certificate:
    head -n 2 genesis.cert >t; tail -n 1 genesis.cert | base64 -d >s
    openssl dgst -sha384 -verify SITE.pub -signature s t

Sources: RFC 8032 (Ed25519), RFC 6962, c2sp.org/signed-note, tlog-checkpoint, tlog-tiles.
"""

import base64
import json
import re
import sqlite3
import sys
from contextlib import closing
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

# Ed25519, RFC 8032 section 5.1. Slow and simple; it only handles public data.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def add(a: Point, b: Point) -> Point:
    """Sum of two points in extended coordinates."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return i * j % P, k * m % P, j * k % P, i * m % P


def times(n: int, a: Point) -> Point:
    """n times a point."""
    total: Point = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, a)
        a = add(a, a)
        n >>= 1
    return total


def point(raw: bytes) -> Point:
    """Decode a point. Raises ValueError."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if len(raw) != 32 or y >= P:
        raise ValueError("no point")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        raise ValueError("no point")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point(bytes.fromhex("58" + "66" * 31))


def signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """True if an Ed25519 signature holds."""
    try:
        a, r = point(public), point(signature[:32])
    except ValueError:
        return False
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= Q or times(8, a)[0] == 0:
        return False  # a key of small order has signatures that hold for any message
    k = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = times(s, BASE), add(r, times(k, a))
    same_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


# Notes and keys.


def unb64(text: str) -> bytes:
    """Standard base64 in its one spelling. Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64 with another spelling")
    return raw


def read_key(line: str) -> tuple[str, bytes]:
    """Name and public key of a log's verifier key. Raises ValueError."""
    name, number, encoded = line.strip().split("+", 2)
    raw = unb64(encoded)
    if len(raw) != 33 or raw[0] != 1 or key_id(name, raw[1:]).hex() != number:
        raise ValueError("no verifier key of a log")
    return name, raw[1:]


def key_id(name: str, public: bytes) -> bytes:
    """Four bytes that name a key in a signature line."""
    return sha256(name.encode() + b"\n\1" + public).digest()[:4]


def read_head(note: bytes) -> tuple[str, int, bytes, str]:
    """Origin, size, root and signature lines. Raises ValueError."""
    text, _, signatures = note.decode().partition("\n\n")
    origin, size, root = text.split("\n")
    if str(int(size)) != size or len(unb64(root)) != 32:
        raise ValueError("no checkpoint")
    return origin, int(size), unb64(root), signatures


def head_signed(note: bytes, public: bytes) -> bool:
    """True if this key signed a head."""
    origin, _, _, lines = read_head(note)
    text = note.partition(b"\n\n")[0] + b"\n"
    start = f"\u2014 {origin} "
    values = [unb64(x.removeprefix(start)) for x in lines.split("\n") if x.startswith(start)]
    ours = [v[4:] for v in values if v[:4] == key_id(origin, public)]
    return bool(ours) and all(signed(public, value, text) for value in ours)


# Entries.


def no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without duplicate keys."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def no_float(text: str) -> Any:
    """Refuse numbers that are not integers."""
    raise ValueError(f"the number {text}")


# What a kind must have beside ALL: texts, or numbers (+), lists of them (*), hex (64, 128).
ALL = "v+ seq+ prev epoch+ time_us+ boot_id mono_us+"
KINDS = {
    "genesis": "origin profile public_key instance",
    "intent": "request_id key_id model",
    "outcome": "intent+ request_id status",
    "hop": "request_id upstream event",
    "search": "request_id key_id collection",
    "admin": "actor action",
    "model": "actor model state",
    "worker": "model event",
    "job_start": "actor job+ work",
    "job_end": "actor job+ work state",
    "counted": "source count+ since_us+ until_us+",
    "start": "",
    "stop": "",
    "key_handover": "next_key64 signature128",
    "witness": "actor key note size+",
    "erase": "actor reason request_id entries*",
    "export": "actor format",
    "prune_approval": "actor before+ root64 name envelope",
    "prune": "actor reason before+ root64 approvals*",
}


def is_hex(value: Any, length: str = "64") -> bool:
    """True for lower-case hex of so many digits."""
    return (
        type(value) is str
        and len(value) == int(length)
        and not set(value) - set("0123456789abcdef")
    )


def has(body: dict[str, Any], field: str) -> bool:
    """True if a field is there and of its type."""
    name = field.rstrip("+*0123456789")
    value, kind = body.get(name), field[len(name) :]
    if kind == "*":
        return type(value) is list and all(type(n) is int for n in value)
    return is_hex(value, kind) if kind.isdigit() else type(value) is (int if kind else str)


def plain(value: Any, depth: int) -> bool:
    """True if keys are ASCII, numbers below 2^53, and nesting not too deep."""
    if isinstance(value, dict):
        return depth > 0 and all(k.isascii() and plain(v, depth - 1) for k, v in value.items())
    if isinstance(value, list):
        return depth > 0 and all(plain(v, depth - 1) for v in value)
    return not isinstance(value, int) or abs(value) < 2**53


def is_content(content: Any) -> bool:
    """True if this says exactly what is kept of texts."""
    if content == {"mode": "off"}:
        return True
    if not isinstance(content, dict) or set(content) != {"mode", "key", "parts"}:
        return False
    wanted = {"commit-only": {"commitment"}, "encrypted": {"commitment", "ciphertext"}}
    parts, names = content["parts"], wanted.get(str(content["mode"]))
    if names is None or type(content["key"]) is not str or not isinstance(parts, dict):
        return False
    return all(
        isinstance(part, dict) and set(part) == names and all(map(is_hex, part.values()))
        for part in parts.values()
    )


def read_body(raw: bytes) -> dict[str, Any]:
    """A canonical body with the fields of its kind. Raises ValueError."""
    text = raw.decode()
    found = json.loads(
        text, object_pairs_hook=no_twice, parse_float=no_float, parse_constant=no_float
    )
    again = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if again != text or not isinstance(found, dict) or not plain(found, 6):
        raise ValueError("not canonical")
    kind = found.get("kind")
    if not isinstance(kind, str) or not re.fullmatch("[a-z][a-z_]{0,39}", kind):
        raise ValueError("of no kind")
    optional = [name for name in ("request_id", "key_id", "model") if name in found]
    for field in [*ALL.split(), *KINDS.get(kind, "").split(), *optional]:
        if not has(found, field):
            raise ValueError(f"no {field}")
    if found["v"] != 1 or ("content" in found and not is_content(found["content"])):
        raise ValueError("of another version, or with texts of no known form")
    return found


def tile_path(number: int) -> str:
    """Path of tile `number`."""
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03d}")
    return "/".join(groups)


def read_tile(place: Path, number: int, width: int) -> bytes:
    """A complete tile, or the partial one of this width. Raises OSError."""
    path = place / tile_path(number)
    return (path if width == 256 else path.with_name(path.name + ".p") / str(width)).read_bytes()


def rows(path: Path, sql: str) -> list[Any]:
    """The content of a database, opened for reading. Raises OSError, sqlite3.Error."""
    beside = path.with_name(path.name + "-journal")
    if beside.exists() or not path.exists():
        raise OSError(f"{beside} lies there" if beside.exists() else f"{path} is not there")
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        return database.execute(sql).fetchall()


class Verifier:
    """One run. `problems` holds (entry, code, reason)."""

    def __init__(self, directory: Path, key: str) -> None:
        self.directory = directory
        self.origin, self.key = read_key(key)
        self.problems: list[tuple[int, str, str]] = []
        self.peaks: list[tuple[int, bytes]] = []  # (height, hash), the widest first
        self.size, self.prev, self.epoch, self.start = 0, bytes(32), 0, 0
        self.open: dict[int, str] = {}
        self.closing: bytes | None = None
        self.covered = 0
        self.boot = ("", 0)
        self.said: set[str] = set()
        self.blamed: set[int] = set()  # entries with a problem that makes later roots differ
        self.broken = False  # such a problem explains the roots since the last good head
        self.suspect: int | None = None  # the next link tells whether it or its successor is wrong
        self.unsigned: int | None = None  # the next link may tell which entry a root misses
        self.first, self.pruned = 0, 0  # the first entry, and the one that may be
        self.gone = ""  # the root of what was pruned
        self.total = 0  # entries that the newest head covers
        self.inner_tiles: dict[int, tuple[int, bytes]] = {}  # the one in use, by height
        self.texts: dict[int, tuple[str, dict[str, str]]] = {}  # key and digests of an entry's
        self.erased: set[int] = set()
        self.approved: dict[tuple[int, int, str], str] = {}  # (entry, before, root): by whom

    def problem(self, seq: int, code: str, why: str, once: bool = False) -> None:
        """Note a problem; `once` for repeats of one cause."""
        if not once or code not in self.said:
            self.problems.append((seq, code, why))
        self.said.add(code)

    def blame(self, seq: int, code: str, why: str, once: bool = False) -> None:
        """Note a problem that makes the roots after it differ."""
        self.problem(seq, code, why, once)
        self.blamed.add(seq)
        self.broken = True

    def link(self, seq: int, holds: bool) -> None:
        """Blame the entry that disagrees with both neighbours, or that no head proves."""
        suspect, unsigned = self.suspect, self.unsigned
        self.suspect = self.unsigned = None
        if suspect is not None:
            self.blame(suspect if holds else suspect + 1, "chain_broken", "it was changed")
        elif unsigned is not None and holds:
            self.blame(unsigned, "root_mismatch", "from here on not what was signed")
        elif unsigned is not None:
            self.blame(seq - 1, "chain_broken", "it was changed")
        elif not holds and self.covered >= seq:
            self.blame(seq, "chain_broken", "it follows another entry")
        elif not holds and not self.blamed & {seq - 1, seq}:
            self.suspect = seq - 1

    def run(self) -> int:
        """Check everything; the number of entries."""
        if read_key((self.directory / "genesis.pub").read_text()) != (self.origin, self.key):
            self.problem(0, "genesis_mismatch", "genesis.pub here is another key than yours")
        heads: dict[int, bytes] = {}
        newest = (self.directory / "checkpoint").read_bytes()
        total = self.total = read_head(newest)[1]
        for note in [*map(unb64, (self.directory / "heads").read_text().split()), newest]:
            size = read_head(note)[1]
            if read_head(heads.setdefault(size, note))[2] != read_head(note)[2]:
                self.problem(size - 1, "head_mismatch", "two heads of one size")
        self.begin()
        self.others()
        for number in range(self.first // 256, (total + 255) // 256):
            width = min(256, total - number * 256)
            try:
                self.bundle(number, width, heads)
            except OSError as error:
                self.problem(number * 256, "entry_missing", str(error))
                return total
            if sys.stderr.isatty():
                print(f"\r{self.size} of {total}", end="", file=sys.stderr)
        if self.first > self.pruned:
            self.problem(self.pruned, "entry_missing", "no prune entry says that it was pruned")
        self.link(total, True)
        if self.covered < total and not self.broken:
            self.problem(self.covered, "unsigned", "no valid head covers the entries from here on")
        return total

    def begin(self) -> None:
        """Take up the tree and the keys of a pruned beginning."""
        path = self.directory / "start"
        first, *peaks = path.read_text().split() if path.exists() else ["0"]
        self.first = self.size = self.covered = int(first)
        heights = [h for h in reversed(range(64)) if self.first >> h & 1]
        self.peaks = list(zip(heights, map(unb64, peaks), strict=True))
        if not self.first:
            return
        self.gone = self.root().hex()
        for record in map(unb64, (self.directory / "handovers").read_text().split()):
            epoch, size = int.from_bytes(record[:8], "big"), int.from_bytes(record[8:16], "big")
            if epoch != self.epoch or not self.start < size <= self.first:
                raise ValueError("a handover before the first entry is out of place")
            self.handover(size - 1, record[16:48].hex(), record[48:].hex())
        self.closing = None

    def others(self) -> None:
        """Check that the export has nothing else."""
        fixed = ("genesis.pub", "genesis.cert", "heads", "checkpoint", "start", "handovers")
        known = {self.directory / name for name in fixed}
        for name in ("entries", *map(str, range(8))):
            count = self.total >> 8 * (0 if name == "entries" else int(name))
            begin = self.first // 256 if name in ("entries", "0") else 0
            for number in range(begin, (count + 255) // 256):
                path, width = (
                    self.directory / "tile" / name / tile_path(number),
                    count - number * 256,
                )
                known.add(path if width >= 256 else path.with_name(path.name + ".p") / str(width))
        for path in sorted(self.directory.rglob("*")):
            if path.is_file() and path not in known:
                name = str(path.relative_to(self.directory))
                self.problem(self.total, "entry_unexpected", f"no part of an export: {name!r}")

    def inner(self, height: int, node: bytes) -> None:
        """Check that the tile of a level above the entries has this node."""
        number, at = divmod(self.size >> height, 256)
        place, width = (
            self.directory / "tile" / str(height // 8),
            (self.total >> height) - number * 256,
        )
        if self.inner_tiles.get(height, (-1, b""))[0] != number:
            try:
                self.inner_tiles[height] = number, read_tile(place, number, min(256, width))
            except OSError:
                self.inner_tiles[height] = number, b""
        if self.inner_tiles[height][1][at * 32 : at * 32 + 32] != node and not self.broken:
            self.problem(
                self.size, "node_mismatch", f"tile {height // 8}/{number} has another node"
            )

    def stored(self, audit: Path) -> None:
        """Check the texts next to the log against the entries, and that they have their keys."""
        lost = {
            (seq, name): code
            for seq, (_, names) in self.texts.items()
            for name, code in names.items()
        }
        for path in sorted(audit.glob("log*.db")):
            for seq, name, nonce, ct in rows(path, "SELECT seq, name, nonce, ct FROM content"):
                expected = lost.pop((seq, name), None)
                if expected is None and self.first <= seq < self.total:
                    self.problem(seq, "content_unexpected", f"it names no {name!r}")
                elif expected and (sha256(nonce + ct).hexdigest(), len(nonce)) != (expected, 12):
                    self.problem(seq, "content_mismatch", f"{name} is not the one that it names")
        for seq, name in lost:
            self.problem(seq, "content_missing", f"its {name} is not stored")
        lengths = dict(rows(audit / "keys.db", "SELECT id, length(wrapped) FROM dek"))
        for seq, (key, _) in self.texts.items():
            if key not in lengths and seq not in self.erased:
                self.problem(seq, "key_missing", "its key is gone, and no entry erased it")
            elif lengths.get(key, 60) != 60:
                self.problem(seq, "key_mismatch", "its key is no wrapped key")

    def prune(self, seq: int, body: dict[str, Any]) -> None:
        """Check that two people approved exactly this prune."""
        before, root, seqs = body["before"], body["root"], body["approvals"]
        people = {self.approved.get((n, before, root)) for n in seqs if n >= before} - {None}
        gone = before < self.first and min(seqs, default=seq) < self.first  # by a later prune
        if len(people) < 2 and not gone:
            self.problem(seq, "prune_invalid", "two people did not approve of it")
        elif before == self.first and root != self.gone:
            self.problem(seq, "prune_invalid", "it pruned something else")
        self.pruned = max(self.pruned, before)

    def bundle(self, number: int, width: int, heads: dict[int, bytes]) -> None:
        """256 entries, or the last ones."""
        data = read_tile(self.directory / "tile" / "entries", number, width)
        leaves = read_tile(self.directory / "tile" / "0", number, width)
        at = 0
        for index in range(width):
            if at >= len(data):
                self.blame(number * 256 + index, "entry_missing", "the bundle ends here")
                return
            length = int.from_bytes(data[at : at + 2], "big")
            raw = data[at + 2 : at + 2 + length]
            at += 2 + length
            leaf = sha256(b"\0" + raw).digest()
            seq = number * 256 + index
            if leaves[index * 32 : index * 32 + 32] != leaf:
                self.blame(seq, "leaf_mismatch", "the tile has another hash")
            self.entry(seq, raw)
            self.append(leaf)
            self.prev = leaf
            if self.size in heads:
                self.head(heads[self.size])
        if at != len(data):
            self.problem(number * 256 + width, "entry_unexpected", "the bundle continues")

    def entry(self, seq: int, raw: bytes) -> None:
        try:
            body = read_body(raw)
        except (ValueError, RecursionError) as error:
            self.blame(seq, "body_invalid", str(error))
            return
        if body["seq"] != seq:
            self.blame(seq, "seq_mismatch", f"it says {body['seq']}", once=True)
        self.link(seq, body["prev"] == self.prev.hex() or 0 < seq == self.first)
        if body["epoch"] != self.epoch:
            self.problem(seq, "epoch_invalid", f"not of epoch {self.epoch}", once=True)
        boot, mono = body["boot_id"], body["mono_us"]
        if boot == self.boot[0] and mono < self.boot[1]:
            self.problem(seq, "time_fell", "older than the entry before")
        self.boot = (boot, mono)
        kind = body["kind"]
        if (seq == 0) != (kind == "genesis"):
            self.problem(seq, "genesis_mismatch", f"entry {seq} is of kind {kind}")
        named = (body.get("origin"), body.get("public_key"))
        if seq == 0 and named != (self.origin, self.key.hex()):
            self.problem(0, "genesis_mismatch", "it names another key or log")
        self.links(seq, kind, body)
        content = body.get("content", {})
        if content.get("parts"):
            parts = content["parts"].items()
            digests = {name: part["ciphertext"] for name, part in parts if "ciphertext" in part}
            self.texts[seq] = content["key"], digests
        if kind == "key_handover":
            self.handover(seq, body["next_key"], body["signature"])
        elif kind == "erase":
            self.erased |= set(body["entries"])
        elif kind == "prune_approval":
            self.approved[seq, body["before"], body["root"]] = body["name"]
        elif kind == "prune":
            self.prune(seq, body)

    def links(self, seq: int, kind: str, body: dict[str, Any]) -> None:
        """Check that each intent has one outcome, before the server starts anew."""
        if kind == "intent":
            self.open[seq] = body["request_id"]
        elif kind == "outcome":
            intent = body["intent"]
            asked = self.open.pop(intent, None)
            if asked is None and 0 <= intent < self.first:
                return  # pruned
            if asked is None:
                self.problem(seq, "outcome_orphan", "it closes no open intent")
            elif asked != body["request_id"]:
                self.problem(seq, "outcome_mismatch", "the intent has another request")
        elif kind == "start":
            for intent in self.open:
                self.problem(intent, "outcome_missing", "the server started anew")
            self.open.clear()

    def handover(self, seq: int, following: str, signature: str) -> None:
        said = f"appliance audit handover v1\n{self.origin}\n{self.epoch}\n{seq + 1}\n{following}\n"
        public, value = bytes.fromhex(following), bytes.fromhex(signature)
        if not signed(self.key, value, said.encode()):
            self.problem(seq, "handover_invalid", "the old key did not sign it")
            return
        self.closing, self.key = self.key, public
        self.epoch, self.start = self.epoch + 1, seq + 1

    def head(self, note: bytes) -> None:
        """Check a head of the size that was just reached."""
        origin, size, root, _ = read_head(note)
        closing, self.closing = self.closing, None
        keys = [self.key] + ([closing] if closing and size == self.start else [])
        if origin != self.origin or not all(head_signed(note, key) for key in keys):
            self.problem(size - 1, "checkpoint_invalid", "its epoch's key did not sign it")
            return
        if closing and size != self.start:
            self.problem(self.start - 1, "epoch_unclosed", "no head over the handover")
        if root == self.root():
            self.covered, self.broken = size, False
        elif not self.broken and self.suspect is None:
            self.unsigned = self.covered

    def append(self, node: bytes) -> None:
        height = 0
        while self.peaks and self.peaks[-1][0] == height:
            node = sha256(b"\1" + self.peaks.pop()[1] + node).digest()
            height += 1
            if height % 8 == 0:
                self.inner(height, node)
        self.peaks.append((height, node))
        self.size += 1

    def root(self) -> bytes:
        node = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            node = sha256(b"\1" + left + node).digest()
        return node


def main(arguments: list[str]) -> int:
    """The command line."""
    if not 1 <= len(arguments) <= 3:
        print(__doc__)
        return 2
    directory = Path(arguments[0])
    key = Path(arguments[1]) if len(arguments) > 1 else directory / "genesis.pub"
    try:
        verifier = Verifier(directory, key.read_text())
        size = verifier.run()
        if len(arguments) == 3:
            verifier.stored(Path(arguments[2]))
    except (OSError, ValueError, sqlite3.Error) as error:
        print(f"The export cannot be read (export_invalid): {error}.")
        return 1
    for seq, code, why in sorted(verifier.problems):
        print(f"Entry {seq} does not hold ({code}): {why}.")
    verdict = "does NOT verify" if verifier.problems else "is verified"
    print(f"The log {verifier.origin} {verdict}: entries {size}, keys {verifier.epoch + 1}.")
    if not verifier.problems:
        print(f"Its root is {verifier.root().hex()}")
    return 1 if verifier.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
