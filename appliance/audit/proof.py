"""A proof that an entry is in the log, as one file that needs nothing else but the log's key.

Rules:
- The file is a C2SP tlog-proof. Its `extra` line carries, as canonical JSON in base64, the
  body of the entry and the key handovers between genesis and the key of the checkpoint.
- Nothing in it is believed before the checkpoint's signature holds under the key that the
  caller brought and the body's leaf hash is proved to be in the checkpoint's root.
- A key that is not reached from the caller's key is refused. There is one epoch so far, so a
  proof carries no handovers.
- Pure: bytes in, verdict out. A file has one spelling.

Sources: c2sp.org/tlog-proof, RFC 9162 section 2.1.3.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.audit.checkpoint import VerifierKey, verify
from appliance.audit.entry import Entry, canonical, parse_canonical
from appliance.audit.merkle import HASH_BYTES, verify_inclusion
from appliance.errors import AuditRefused
from appliance.types import Json

MAX_PROOF: Final = 1 << 20
_MAGIC: Final = "c2sp.org/tlog-proof@v1"
_MAX_PATH: Final = 63
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,15})")


@dataclass(frozen=True)
class ProofResult:
    """What a proof proves.

    Attributes:
        seq: where the entry stands.
        root: hex root of the tree of `size` entries that it is part of.
        body: the decoded entry.
    """

    seq: int
    root: str
    size: int
    body: dict[str, Json]


def build_proof(body: bytes, index: int, path: Sequence[bytes], note: bytes) -> bytes:
    """The proof file of an entry under a checkpoint note."""
    extra: dict[str, Json] = {"body": body.decode(), "handovers": []}
    lines = [
        _MAGIC,
        f"extra {_b64(canonical(extra))}",
        f"index {index}",
        *map(_b64, path),
        "",
    ]
    return "\n".join(lines).encode() + b"\n" + note


def check_proof(document: bytes, genesis_public: bytes) -> ProofResult:
    """Check a proof against the verifier key of the log (the content of genesis.pub).

    Raises:
        AuditRefused: `audit_key_invalid` for the key, `proof_invalid` for the proof.
    """
    key = VerifierKey.parse(genesis_public)
    try:
        return _check(document, key)
    except (ValueError, AuditRefused) as error:
        raise AuditRefused("proof_invalid", f"The proof does not hold: {error}") from error


def _check(document: bytes, key: VerifierKey) -> ProofResult:
    if len(document) > MAX_PROOF:
        raise ValueError("it is too long.")
    head, separator, note = document.partition(b"\n\n")
    lines = head.decode().split("\n")
    if not separator or len(lines) < 3 or len(lines) > 3 + _MAX_PATH:
        raise ValueError("it is not a C2SP tlog-proof.")
    body = _body(lines[1])
    number = _INDEX.fullmatch(lines[2])
    if number is None:
        raise ValueError("it names no index.")
    index = int(number[1])
    path = [base64.b64decode(line, validate=True) for line in lines[3:]]
    if any(len(node) != HASH_BYTES for node in path):
        raise ValueError("a hash has another length.")
    if build_proof(body, index, path, note) != document:
        raise ValueError("it is not in its one spelling.")
    checkpoint = verify(note, key)
    entry = Entry.parse(body)
    if not verify_inclusion(entry.leaf, index, checkpoint.size, path, checkpoint.root):
        raise ValueError("the entry is not in the signed tree at this index.")
    if entry.seq != index or entry.body["epoch"] != 0:
        raise ValueError("the entry gives itself another place.")
    return ProofResult(index, checkpoint.root.hex(), checkpoint.size, dict(entry.body))


def _body(line: str) -> bytes:
    if not line.startswith("extra "):
        raise ValueError("it carries no entry.")
    extra = parse_canonical(base64.b64decode(line.removeprefix("extra "), validate=True))
    if extra.keys() != {"body", "handovers"} or not isinstance(extra["body"], str):
        raise ValueError("it carries no entry.")
    if extra["handovers"] != []:
        raise ValueError("it carries key handovers, which this version does not know.")
    return extra["body"].encode()


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
