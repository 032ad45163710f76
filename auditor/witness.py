#!/usr/bin/env python3
"""A witness for audit logs, on a machine without a network. Stands alone: Python and cryptography.

    witness.py key DIR NAME WORDS [URI]   make DIR/witness.pub, and DIR/witness.pem or a token's key
    witness.py trust DIR GENESIS.pub      follow a log from its first key on
    witness.py cosign DIR REQUEST ANSWER [WORDS]

WORDS is a file (or /dev/fd/N) whose first line is the key's passphrase or PIN, or - to type it.
URI is pkcs11:token=NAME;object=NAME?module-path=FILE of an Ed25519 key, made where there is none;
the module runs in this program.

It cosigns a head only if the log's key of that time signed it and it is consistent with the last
head seen: a log that was rewritten, cut or forked gets nothing. The head that it has seen is on
disk before the answer is. Exit: 0 cosigned, 1 refused (the reason is printed with the status that a
C2SP tlog-witness would answer: 400, 403, 404, 409 or 422), 2 usage.

A request is `handover BASE64` lines, then the body of a C2SP add-checkpoint. A handover is epoch
and size (big-endian 64-bit), the next Ed25519 key and the old key's signature.

Sources: c2sp.org/tlog-witness, tlog-cosignature, tlog-checkpoint, signed-note; RFC 9162 2.1.4.2;
PKCS #11 3.0 (EdDSA), RFC 7512.
"""

import base64
import ctypes
import getpass
import json
import os
import resource
import sys
import time
import urllib.parse
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

LIMIT = 16 << 20
MODULE = "/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so"
ED25519 = bytes.fromhex("06032b6570")


class Refused(Exception):
    """Why nothing is cosigned; the first argument is the status of C2SP tlog-witness."""


def b64(raw: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(raw).decode()


def unb64(text: str) -> bytes:
    """Standard base64 in its one spelling. Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if b64(raw) != text:
        raise ValueError("base64 with another spelling")
    return raw


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """Four bytes that name a key in a signature line."""
    return sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """True if an Ed25519 signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def follow(log: dict[str, Any], origin: str, records: list[bytes]) -> None:
    """Change keys as the log did. Raises Refused."""
    for record in records:
        epoch, size = int.from_bytes(record[:8]), int.from_bytes(record[8:16])
        following, signature = record[16:48], record[48:]
        if len(record) != 112:
            raise Refused(400, "a handover is malformed")
        if epoch < log["epoch"]:
            continue  # known
        said = f"appliance audit handover v1\n{origin}\n{epoch}\n{size}\n{following.hex()}\n"
        old = bytes.fromhex(log["key"])
        if (
            epoch != log["epoch"]
            or size <= log["start"]
            or not holds(old, signature, said.encode())
        ):
            raise Refused(403, f"the handover of epoch {epoch} does not hold")
        log.update(epoch=epoch + 1, start=size, key=following.hex())


def consistent(old: int, new: int, path: list[bytes], old_root: bytes, new_root: bytes) -> bool:
    """RFC 9162, 2.1.4.2."""
    if old == 0:
        return not path
    if old == new:
        return not path and old_root == new_root
    if not old < new:
        return False
    hashes = [old_root, *path] if old & (old - 1) == 0 else path
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    if not hashes:
        return False
    fr = sr = hashes[0]
    for c in hashes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = (sha256(b"\1" + c + r).digest() for r in (fr, sr))
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = sha256(b"\1" + sr + c).digest()
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def parse(request: bytes) -> tuple[list[bytes], int, list[bytes], str]:
    """Handovers, old size, consistency proof and note. Raises Refused."""
    try:
        head, _, note = request.decode().partition("\n\n")
        lines = head.split("\n")
        records = []
        while lines[0].startswith("handover "):
            records.append(unb64(lines.pop(0).removeprefix("handover ")))
        word, number = lines.pop(0).split(" ")
        if word != "old" or str(int(number)) != number or int(number) < 0 or len(lines) > 63:
            raise ValueError
        return records, int(number), [unb64(line) for line in lines], note
    except (ValueError, IndexError) as error:
        raise Refused(400, "the request is malformed") from error


def cosign(
    logs: dict[str, Any], request: bytes, name: str, key: "Ed25519PrivateKey | Token", seconds: int
) -> bytes:
    """The note with our line; `logs` then knows the head. Raises Refused."""
    records, old, path, note = parse(request)
    text, _, signatures = note.partition("\n\n")
    try:
        origin, number, encoded = text.split("\n")
        size, root = int(number), unb64(encoded)
        if str(size) != number or size < 1 or len(root) != 32:
            raise ValueError
    except ValueError as error:
        raise Refused(400, "the checkpoint is malformed") from error
    if origin not in logs:
        raise Refused(404, f"the log {origin} is not known here")
    log = dict(logs[origin])
    before = dict(log)
    follow(log, origin, [r for r in records if int.from_bytes(r[8:16]) < size])
    public = bytes.fromhex(log["key"])
    line = f"\u2014 {origin} "
    ours = key_id(origin, b"\1", public)
    values = [unb64(s.removeprefix(line)) for s in signatures.split("\n") if s.startswith(line)]
    message = f"{text}\n".encode()
    if not any(v[:4] == ours and holds(public, v[4:], message) for v in values):
        raise Refused(403, "the log's key of that time did not sign it")
    if old != before["size"]:
        raise Refused(409, f"the last head seen here has {before['size']} entries, not {old}")
    if size < old or not consistent(old, size, path, bytes.fromhex(before["root"]), root):
        raise Refused(422, "it is not consistent with the last head seen here")
    log.update(size=size, root=root.hex())
    logs[origin] = log
    signed = f"cosignature/v1\ntime {seconds}\n{text}\n".encode()
    mine = key.public_key().public_bytes_raw()
    value = key_id(name, b"\4", mine) + seconds.to_bytes(8, "big") + key.sign(signed)
    return note.encode() + f"\u2014 {name} {b64(value)}\n".encode()


class Token:
    """An Ed25519 key on a PKCS#11 token, used like one of a file. Raises Refused.

    Args:
        make: make the key where there is none of its name.
    """

    def __init__(self, uri: str, pin: bytes, *, make: bool = False) -> None:
        path, _, query = uri.removeprefix("pkcs11:").partition("?")
        pairs = (part.partition("=") for part in (*path.split(";"), *query.split("&")) if part)
        said = {name: urllib.parse.unquote(value) for name, _, value in pairs}
        if not {"token", "object"} <= said.keys() <= {"token", "object", "module-path"}:
            raise Refused(400, "the URI has token=, object= and perhaps ?module-path=")
        self._name = said["object"].encode()
        self._list = ctypes.POINTER(ctypes.c_void_p)()
        try:
            get = ctypes.CDLL(said.get("module-path", MODULE)).C_GetFunctionList
        except (OSError, AttributeError) as error:
            raise Refused(400, f"the module cannot be used: {error}") from error
        self._check(get(ctypes.byref(self._list)))
        self._call(0, None)  # C_Initialize
        self._session = ctypes.c_ulong()
        opened = ctypes.byref(self._session)
        self._call(12, self._slot(said["token"].encode()), 4 | 2 * make, None, None, opened)
        self._call(18, self._session, 1, pin, len(pin))  # C_Login
        if make and not self._find(3):
            both = {1: b"\1", 3: self._name, 0x102: self._name}
            public = template({**both, 0x180: ED25519, 0x10A: b"\1", 2: b"\0"})
            private = template({**both, 2: b"\1", 0x103: b"\1", 0x108: b"\1", 0x162: b"\0"})
            made = [ctypes.byref(ctypes.c_ulong()) for _ in range(2)]
            how = ctypes.byref(Mechanism(0x1055))
            self._call(59, self._session, how, public, len(public), private, len(private), *made)
        keys, points = self._find(3), self._find(2)
        if len(keys) != 1 or len(points) != 1:
            raise Refused(400, f"the token has {len(keys)} keys of this name")
        (self._key,) = keys
        room = ctypes.create_string_buffer(256)
        point = Attribute(0x181, ctypes.cast(room, ctypes.c_void_p), 256)
        self._call(24, self._session, points[0], ctypes.byref(point), 1)
        self._public = Ed25519PublicKey.from_public_bytes(room.raw[: point.length][-32:])

    def public_key(self) -> Ed25519PublicKey:
        """The public half."""
        return self._public

    def sign(self, data: bytes) -> bytes:
        """A signature, which was verified."""
        room, length = ctypes.create_string_buffer(64), ctypes.c_ulong(64)
        self._call(42, self._session, ctypes.byref(Mechanism(0x1057)), self._key)
        self._call(43, self._session, data, len(data), room, ctypes.byref(length))
        if not holds(self._public.public_bytes_raw(), room.raw, data):
            raise Refused(400, "the token's signature does not hold")
        return room.raw

    def _slot(self, label: bytes) -> int:
        slots, count = (ctypes.c_ulong * 64)(), ctypes.c_ulong(64)
        self._call(4, 1, slots, ctypes.byref(count))
        info = ctypes.create_string_buffer(1024)
        for slot in slots[: count.value]:
            self._call(6, slot, info)
            if info.raw[:32].rstrip(b" ") == label:
                return slot
        raise Refused(400, "no such token is there")

    def _find(self, kind: int) -> list[int]:
        wanted = template({0: bytes(ctypes.c_ulong(kind)), 3: self._name})
        found, count = (ctypes.c_ulong * 2)(), ctypes.c_ulong()
        self._call(26, self._session, wanted, len(wanted))
        self._call(27, self._session, found, 2, ctypes.byref(count))
        self._call(28, self._session)
        return found[: count.value]

    def _call(self, place: int, *arguments: object) -> None:
        function = ctypes.CFUNCTYPE(ctypes.c_ulong)(self._list[1 + place] or 0)
        self._check(function(*(ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments)))

    @staticmethod
    def _check(code: int) -> None:
        if code:
            what = {0xA0: "the PIN is wrong", 0xA4: "the PIN is locked"}
            raise Refused(400, what.get(code, f"the token answers {code:#x}"))


class Attribute(ctypes.Structure):
    """CK_ATTRIBUTE."""

    _fields_ = [("type", ctypes.c_ulong), ("value", ctypes.c_void_p), ("length", ctypes.c_ulong)]


class Mechanism(ctypes.Structure):
    """CK_MECHANISM without parameters."""

    _fields_ = Attribute._fields_


def template(wanted: dict[int, bytes]) -> "ctypes.Array[Attribute]":
    """Attributes by their numbers."""
    made = (Attribute * len(wanted))()
    for one, (kind, data) in zip(made, wanted.items(), strict=True):
        room = ctypes.create_string_buffer(data, len(data))
        one.type, one.length = kind, len(data)
        one.value = ctypes.cast(room, ctypes.c_void_p)  # which keeps the room alive
    return made


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file, durably."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def load(path: Path) -> dict[str, Any]:
    """The newest head that was seen of each log."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def passphrase(words: str) -> bytes:
    """The first line of a file, or typed."""
    if words == "-":
        return getpass.getpass("Passphrase or PIN of the witness's key: ").encode()
    with Path(words).open("rb") as file:
        return file.readline().rstrip(b"\n")


def make_key(place: str, name: str, words: str | None = None, uri: str = "") -> None:
    """`key`."""
    directory = Path(place)
    directory.mkdir(parents=True, exist_ok=True)
    if any((directory / f"witness.{kind}").exists() for kind in ("pem", "pub")):
        raise Refused(400, "there is a key already")
    secret = None if words is None else passphrase(words)
    if uri:
        key: Ed25519PrivateKey | Token = Token(uri, secret or b"", make=True)
        write(directory / "witness.uri", uri.encode())
    else:
        key = own = Ed25519PrivateKey.generate()
        if secret is not None and len(secret) < 12:
            raise Refused(400, "a passphrase takes at least 12 characters")
        under = NoEncryption() if secret is None else BestAvailableEncryption(secret)
        pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, under)
        write(directory / "witness.pem", pem, 0o600)
    public = key.public_key().public_bytes_raw()
    line = f"{name}+{key_id(name, bytes([4]), public).hex()}+{b64(bytes([4]) + public)}\n"
    write(directory / "witness.pub", line.encode())
    print(line, end="")
    if secret is None:
        print("[!] The key has no passphrase; the next release refuses this.", file=sys.stderr)


def trust(place: str, genesis: str) -> None:
    """`trust`."""
    state = Path(place) / "seen.json"
    origin, _, encoded = Path(genesis).read_text().strip().split("+", 2)
    public = unb64(encoded)[1:]
    logs = load(state)
    if origin in logs:
        raise Refused(400, "this log is known already")
    logs[origin] = {"epoch": 0, "start": 0, "key": public.hex(), "size": 0, "root": ""}
    write(state, json.dumps(logs, indent=1).encode())
    print(f"This witness follows the log {origin} from its first key on.")


def open_key(directory: Path, words: str) -> Ed25519PrivateKey | Token:
    """The witness's key, of a token or a file. Raises Refused."""
    uri = directory / "witness.uri"
    if uri.exists():
        return Token(uri.read_text(), passphrase(words))
    pem = (directory / "witness.pem").read_bytes()
    secret = passphrase(words) if b"ENCRYPTED" in pem else None
    try:
        key = load_pem_private_key(pem, secret)
    except ValueError as error:
        raise Refused(400, "witness.pem does not open with this passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(400, "witness.pem is no Ed25519 key")
    return key


def answer(place: str, request: str, out: str, words: str = "-") -> None:
    """`cosign`."""
    directory = Path(place)
    name = (directory / "witness.pub").read_text().partition("+")[0]
    key = open_key(directory, words)
    logs = load(directory / "seen.json")
    data = Path(request).read_bytes()
    if len(data) > LIMIT:
        raise Refused(400, "the request is too long")
    note = cosign(logs, data, name, key, int(time.time()))
    write(directory / "seen.json", json.dumps(logs, indent=1).encode())  # before the answer
    write(Path(out), note)
    origin, size = note.decode().split("\n")[:2]
    print(f"Cosigned: the head of the log {origin} with {size} entries.")


def forbid_dumps() -> None:
    """Leave no core dump, with the key in it: neither as a file nor through a collector."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(4, *(ctypes.c_ulong(0) for _ in range(4)))  # PR_SET_DUMPABLE


def main(arguments: list[str]) -> int:
    """The command line."""
    commands: dict[tuple[str, int], Callable[..., None]] = {
        ("key", 2): make_key,  # as before; warned of
        ("key", 3): make_key,
        ("key", 4): make_key,
        ("trust", 2): trust,
        ("cosign", 3): answer,
        ("cosign", 4): answer,
    }
    command = commands.get((arguments[0] if arguments else "", len(arguments) - 1))
    if command is None:
        print(__doc__)
        return 2
    try:
        command(*arguments[1:])
    except Refused as refused:
        status, why = refused.args
        print(f"Refused ({status}): {why}.")
        return 1
    return 0


if __name__ == "__main__":
    forbid_dumps()
    sys.exit(main(sys.argv[1:]))
