#!/usr/bin/env python3
"""Checks the receipt of one answer: one file, Python's standard library, nothing else.

    verify_receipt.py RECEIPT GENESIS.pub [--leaf HEX] [--witness WITNESS.pub] [--cited ANSWER]

RECEIPT is what `GET /v1/receipts/REQUEST-ID` gave, or a file that `appliance audit proof` wrote.
GENESIS.pub is the log's first key as you keep it yourself. HEX is the second word of the header
`x-appliance-receipt` that came with the answer. With the key of a witness that you trust, a receipt
that rests on its cosignature is checked too. Exit: 0 it holds, 1 it does not, 2 usage.

It checks that the entry is canonical and hashes to its leaf; that the leaf is in the signed tree at
the place that the entry gives itself; that the tree's head is signed by the key of the entry's own
epoch; and that this key is reached from GENESIS.pub by signed changes of keys, or that the witness
cosigned the head. Of a receipt it also checks that request, entry and proof belong together.

ANSWER is the value of `x_appliance` in an answer that cites, or what `/v1/search` answered. With
it, the entry must commit to each citation or passage in it, under the nonce that the answer has, or
else the receipt. Once the texts were erased, a receipt says so and has none.

It does not check that the log is whole (verify_export.py does), nor what was asked and answered:
the entry holds commitments to the texts, not the texts. The site's certificate in place of a key:
    head -n 2 genesis.cert >t; tail -n 1 genesis.cert | base64 -d >s
    openssl dgst -sha384 -verify SITE.pub -signature s t

Sources: RFC 8032 (Ed25519), RFC 9162 2.1.3.2, c2sp.org/tlog-proof, signed-note, tlog-cosignature.
"""

import argparse
import base64
import hmac
import json
import re
import sys
from datetime import UTC, datetime
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

# Ed25519, RFC 8032 section 5.1. Slow and simple; it only handles public data.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
MAX_BYTES = 32 << 20
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


# Keys and heads.

LOG, WITNESS = b"\1", b"\4"


def unb64(text: str) -> bytes:
    """Standard base64 in its one spelling. Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64 has another spelling")
    return raw


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """Four bytes that name a key in a signature line."""
    return sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def read_key(line: str, kind: bytes) -> tuple[str, bytes]:
    """Name and public key of a verifier key. Raises ValueError."""
    name, number, encoded = line.strip().split("+", 2)
    raw = unb64(encoded)
    if len(raw) != 33 or raw[:1] != kind or key_id(name, kind, raw[1:]).hex() != number:
        raise ValueError("this is not the verifier key of a log or a witness")
    return name, raw[1:]


class Head:
    """A signed head of a log. Raises ValueError."""

    def __init__(self, note: bytes) -> None:
        text, separator, lines = note.decode().partition("\n\n")
        self.origin, size, root = text.split("\n")
        self.size, self.root, self.text = int(size), unb64(root), text + "\n"
        if str(self.size) != size or len(self.root) != 32 or not separator:
            raise ValueError("the head is malformed")
        *signatures, rest = lines.split("\n")
        parts = [line.split(" ") for line in signatures]
        if rest or any(len(p) != 3 or p[0] != "\u2014" or not p[1] for p in parts):
            raise ValueError("a signature line of the head is malformed")
        self.signatures = [(name, unb64(value)) for _, name, value in parts]

    def values(self, name: str, kind: bytes, public: bytes) -> list[bytes]:
        ours = key_id(name, kind, public)
        return [v[4:] for signer, v in self.signatures if signer == name and v[:4] == ours]

    def check(self, origin: str, public: bytes) -> None:
        """The log's key must have signed it. Raises ValueError."""
        values = self.values(origin, LOG, public)
        message = self.text.encode()
        if self.origin != origin or not values:
            raise ValueError("the head is not signed by the key of the entry's epoch")
        if not all(signed(public, value, message) for value in values):
            raise ValueError("the signature of the head does not hold")

    def seen(self, origin: str, witness: tuple[str, bytes]) -> int:
        """When the witness cosigned it, in seconds since 1970. Raises ValueError."""
        value = self.values(witness[0], WITNESS, witness[1])[0]
        seconds = int.from_bytes(value[:8], "big")
        message = f"cosignature/v1\ntime {seconds}\n{self.text}".encode()
        if self.origin != origin or not signed(witness[1], value[8:], message):
            raise ValueError("the cosignature of the witness does not hold")
        return seconds


# Entries and proofs.


def no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without duplicate keys."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def canonical(text: str) -> dict[str, Any]:
    """A JSON object in its one spelling. Raises ValueError."""
    found = json.loads(text, object_pairs_hook=no_twice)
    again = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(found, dict) or again != text:
        raise ValueError("it is not canonical JSON")
    return found


def included(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn, node = index, size - 1, leaf
    for step in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = sha256(b"\1" + step + node).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = sha256(b"\1" + node + step).digest()
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and node == root


def place_of(body: str, path: list[bytes], head: Head) -> dict[str, Any]:
    """The entry, proved to be in the tree at its stated place. Raises ValueError."""
    entry = canonical(body)
    seq, leaf = entry.get("seq"), sha256(b"\0" + body.encode()).digest()
    if type(seq) is not int or not included(leaf, seq, head.size, path, head.root):
        raise ValueError("the entry is not in the signed tree at its place")
    return entry


def hashes(lines: list[str]) -> list[bytes]:
    """The path of a proof. Raises ValueError."""
    found = [unb64(line) for line in lines]
    if len(found) > 63 or any(len(node) != 32 for node in found):
        raise ValueError("a hash has another length")
    return found


class Keys:
    """The key of the log as handovers change it. Raises ValueError."""

    def __init__(self, origin: str, public: bytes) -> None:
        self.origin, self.public, self.epoch, self.start = origin, public, 0, 0

    def begin(self, start: dict[str, Any], witness: tuple[str, bytes] | None) -> None:
        """Take up the keys at a handover that a witness has seen."""
        if witness is None:
            raise ValueError("it rests on a witness: pass that witness's key with --witness")
        head = Head(start["note"].encode())
        if not head.values(witness[0], WITNESS, witness[1]):
            raise ValueError("its beginning is not cosigned by this witness")
        head.seen(self.origin, witness)
        body = place_of(start["body"], hashes(start["path"]), head)
        if body["kind"] != "key_handover":
            raise ValueError("it does not begin with a change of keys")
        self.epoch, self.start = body["epoch"] + 1, body["seq"] + 1
        self.public = bytes.fromhex(body["next_key"])

    def hand_over(self, record: bytes) -> None:
        epoch, size = int.from_bytes(record[:8], "big"), int.from_bytes(record[8:16], "big")
        following, signature = record[16:48], record[48:]
        said = f"appliance audit handover v1\n{self.origin}\n{epoch}\n{size}\n{following.hex()}\n"
        if len(record) != 112 or epoch != self.epoch or size <= self.start:
            raise ValueError("a change of keys is out of place")
        if not signed(self.public, signature, said.encode()):
            raise ValueError("a change of keys is not signed by the key before it")
        self.epoch, self.start, self.public = epoch + 1, size, following


class Result:
    """The proved entry, its leaf, the head, and the witness's time."""

    def __init__(
        self, document: bytes, genesis: tuple[str, bytes], witness: tuple[str, bytes] | None
    ) -> None:
        head, separator, note = document.decode().partition("\n\n")
        magic, extra, index, *path = head.split("\n")
        place = re.fullmatch("index (0|[1-9][0-9]{0,15})", index)
        ours = magic == "c2sp.org/tlog-proof@v1" and extra.startswith("extra ")
        if not ours or not separator or place is None:
            raise ValueError("it is not a proof of an entry")
        carried = canonical(unb64(extra.removeprefix("extra ")).decode())
        if not {"body", "handovers"} <= set(carried) <= {"body", "handovers", "start"}:
            raise ValueError("it carries no entry")
        self.head = Head(note.encode())
        self.witnessed: int | None = None
        self.leaf = sha256(b"\0" + carried["body"].encode()).hexdigest()
        if witness is not None and self.head.values(witness[0], WITNESS, witness[1]):
            self.witnessed = self.head.seen(genesis[0], witness)
        else:
            self.by_key(carried, Keys(*genesis), witness)
        self.entry = place_of(carried["body"], hashes(path), self.head)
        if self.entry["seq"] != int(place[1]):
            raise ValueError("the entry is not the one that the proof names")

    def by_key(
        self, carried: dict[str, Any], keys: Keys, witness: tuple[str, bytes] | None
    ) -> None:
        """Check that the key of the entry's own epoch signed the head. Raises ValueError."""
        if "start" in carried:
            keys.begin(carried["start"], witness)
        for record in carried["handovers"]:
            keys.hand_over(unb64(record))
        body = canonical(carried["body"])
        if body["epoch"] != keys.epoch or body["seq"] < keys.start:
            raise ValueError("the entry is not of the epoch whose key signed the head")
        self.head.check(keys.origin, keys.public)


def check(
    data: bytes, genesis: str, *, leaf: str | None = None, witness: str | None = None
) -> Result:
    """Check a receipt or a proof.

    Args:
        data: JSON of the API, or the file of a proof.
        genesis, witness: verifier keys, as text.
        leaf: what the header of the answer named.

    Raises:
        ValueError: why it does not hold.
    """
    if len(data) > MAX_BYTES:
        raise ValueError("it is too long")
    receipt = json.loads(data) if data.lstrip()[:1] == b"{" else None
    proof = data if receipt is None else receipt["proof"].encode()
    trusted = None if witness is None else read_key(witness, WITNESS)
    found = Result(proof, read_key(genesis, LOG), trusted)
    if receipt is not None:
        belongs(receipt, found)
    if leaf is not None and leaf.strip().lower() != found.leaf:
        raise ValueError("it is the receipt of another answer: the leaf hash differs")
    return found


def belongs(receipt: dict[str, Any], found: Result) -> None:
    """Check that request, entry and proof of a receipt are of one request. Raises ValueError."""
    entry, intent, outcome = found.entry, receipt["intent"], receipt["outcome"]
    named = outcome or intent
    if entry.get("request_id") != receipt["request_id"]:
        raise ValueError("the entry is about another request")
    if (named["seq"], named["leaf"]) != (entry["seq"], found.leaf):
        raise ValueError("it names another entry than it proves")
    if outcome and (entry["kind"], entry.get("intent")) != ("outcome", intent["seq"]):
        raise ValueError("its outcome belongs to another intent")
    if not outcome and entry["kind"] not in ("intent", "search"):
        raise ValueError("its entry is no intent and no search")
    said, by = receipt.get("answered_by") or {}, entry.get("answered_by") or {}
    if said.get("host") != by.get("host"):
        raise ValueError("its entry names another host that answered")


def cites(answer: dict[str, Any], receipt: dict[str, Any], found: Result) -> str:
    """Check that the entry commits to an answer's citations or a search's passages. Raises
    ValueError.
    """
    evidence, searched = receipt.get("evidence") or {}, "citations" not in answer
    word, said = "passage" if searched else "citation", []
    nonce, state = answer.get("nonce") or evidence.get("nonce"), evidence.get("state", "missing")
    if nonce is None:
        raise ValueError(f"the nonce of its citations is {state}".replace("_", " "))
    for one in answer["data" if searched else "citations"]:
        names = ("id",) if searched else ("passage", "text_sha256", "start", "end")
        text = "|".join((f"appliance {word} v1", *(str(one[n]) for n in names), one["sha256"]))
        said.append(hmac.digest(bytes.fromhex(nonce), text.encode(), "sha256").hex())
        if sha256(one["text" if searched else "quote"].encode()).hexdigest() != one["sha256"]:
            raise ValueError(f"the text of a {word} is another one")
    if found.entry.get(f"{word}s") != ([{"commitment": c} for c in said] if searched else said):
        raise ValueError("its entry commits to other citations, or to none as older ones do")
    gone = " The appliance has erased them since." if state == "erased" else ""
    return f"Its entry commits to what the answer cites: {len(said)}.{gone}"


def told(found: Result) -> list[str]:
    """The statements that hold, in sentences."""
    entry, head = found.entry, found.head
    seen = {**entry.get("answered_by", {}), **entry}
    about = [f"{n} {seen[n]}" for n in ("request_id", "model", "status", "host") if n in seen]
    lines = [
        f"The receipt holds: entry {entry['seq']} is in the log {head.origin}.",
        f"It is of the kind {entry['kind']}" + (f": {', '.join(about)}." if about else "."),
        f"Its leaf hash is {found.leaf}.",
        f"The signed head has {head.size} entries and the root {head.root.hex()}.",
    ]
    if found.witnessed is not None:
        when = datetime.fromtimestamp(found.witnessed, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append(f"The witness saw this head at {when}, by its own clock.")
    return ["".join(c if c.isprintable() else "?" for c in line) for line in lines]


def main(arguments: list[str]) -> int:
    """The command line."""
    words = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=words)
    parser.add_argument("receipt", type=Path, metavar="RECEIPT")
    parser.add_argument("genesis", type=Path, metavar="GENESIS.pub")
    parser.add_argument("--leaf", metavar="HEX", help="second word of x-appliance-receipt")
    parser.add_argument("--witness", type=Path, metavar="WITNESS.pub")
    parser.add_argument("--cited", type=Path, metavar="ANSWER", help="x_appliance, or a search")
    given = parser.parse_args(arguments)
    try:
        witness = given.witness.read_text() if given.witness else None
        data, genesis = given.receipt.read_bytes(), given.genesis.read_text()
        found = check(data, genesis, leaf=given.leaf, witness=witness)
        answer = given.cited and json.loads(given.cited.read_bytes())
        more = [cites(answer, json.loads(data), found)] if given.cited else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        print(f"The receipt does not hold: {why}.")
        return 1
    print("\n".join(told(found) + more))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
