"""The body of an audit entry: canonical bytes that are stored and hashed and never rewritten.

Rules:
- RFC 8785 (JCS) without floats: a decimal number is a string, a time an integer in microseconds.
  `decode` accepts exactly what `encode` makes.
- `prev`, the leaf hash of the entry before, is part of the body, so the Merkle tree proves the
  chain.
- Every field that a query or the verifier reads is checked here; kinds may carry more fields.
- Kinds of a newer release are read, since a release that comes back needs the log, never written.

`docs/audit-format.md` is the byte-exact description.
"""

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Self, cast

import msgspec

from appliance.audit.merkle import leaf_hash
from appliance.errors import AuditRefused
from appliance.types import Json

SCHEMA: Final = 1
MAX_BODY: Final = 65_535
MAX_INT: Final = 2**53 - 1
NO_ENTRY: Final = bytes(32)
"""`prev` of the genesis entry."""

_COMMON: Final[dict[str, Any]] = {
    "v": Literal[1],
    "seq": int,
    "prev": str,
    "epoch": int,
    "time_us": int,
    "boot_id": str,
    "mono_us": int,
}
ASSIGNED: Final = frozenset(_COMMON) | {"kind", "content"}
"""Fields that the log fills in; a draft may not bring them."""

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Signature = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]

KINDS: Final[dict[str, dict[str, Any]]] = {
    "genesis": {"origin": str, "profile": str, "public_key": str, "instance": str},
    "intent": {"request_id": str, "key_id": str, "model": str},
    "outcome": {"intent": int, "request_id": str, "status": str},
    "hop": {"request_id": str, "upstream": str, "event": str},
    "search": {"request_id": str, "key_id": str, "collection": str},
    "admin": {"actor": str, "action": str},
    "model": {"actor": str, "model": str, "state": str},
    "worker": {"model": str, "event": str},
    "job_start": {"actor": str, "job": int, "work": str},
    "job_end": {"actor": str, "job": int, "work": str, "state": str},
    "counted": {"source": str, "count": int, "since_us": int, "until_us": int},
    "start": {},
    "stop": {},
    "key_handover": {"next_key": Digest, "signature": _Signature},
    "witness": {"actor": str, "key": str, "note": str, "size": int},
    "erase": {"actor": str, "reason": str, "request_id": str, "entries": list[int]},
    "export": {"actor": str, "format": str},
    "prune_approval": {
        "actor": str,
        "before": int,
        "root": Digest,
        "name": str,
        "envelope": str,
    },
    "prune": {
        "actor": str,
        "reason": str,
        "before": int,
        "root": Digest,
        "approvals": list[int],
    },
}
"""Kinds of entries and the fields that each must have."""

NOTES: Final = {
    "start": "the server, of this `release`, starts; no intent comes before it",
    "stop": "the server stops as it should",
    "genesis": "entry 0 only; `public_key` is hex, `instance` a UUID",
    "intent": (
        "durable before the model runs; `client` has the request's ids elsewhere "
        "(`x_request_id`, `x_client_request_id`, `traceparent`); also digests (`digest` of "
        "the model, `adapter` or null, `task` if there is one), parameters, effective seed, "
        "address; `engine` names everything that affects its numbers (version, build, "
        "processor, kernels), `replayable` is `yes` or the code of the obstacle; "
        "`retrieved` if a task cites documents (collection, its state, ranking, a "
        "[commitment](#passages-and-citations) to each passage in the prompt, and in "
        "`search` the request that embedded the question); `unused` where a task ignores "
        "more than its input (`system`); `sent` if a host on the network is asked first: "
        "its URL, `state`, record's digest; if the app names a person, `end_user` (a "
        "pseudonym, or the name) and `end_user_from` (`claim`, or `oidc:NAME` or "
        "`certificate:NAME` with `end_user_groups`, `end_user_until_us`, "
        "`end_user_groups_from` if a directory has the groups, and "
        "`end_user_cost_centre` of a group), also in its outcome, in searches and counts"
    ),
    "outcome": (
        "closes the intent with that `seq` and request, once; `status` is `unknown` if a "
        "crash hid the end; `confidence_ppm` is a task answer's confidence in millionths; "
        "`citations` has a commitment to each citation; `answered_by` names a host on the "
        "network: `upstream`, `host`, the `digest` of its record, and for another appliance "
        "its `receipt` (`seq`, `leaf`, `size`), whose `standing` is `checked` (a proof verified "
        "under the first key of the log `origin`) or `kept`; `answered` is what the intent's "
        "`sent` host said of its answer, `unsent` means that nothing was sent there; `site` is "
        "`stale`, also in the intent, if the appliance heard no other of its site for too long"
    ),
    "hop": (
        "a request, or a text to tokenise (`asks` is `tokens`), to a host: `sent`, durable "
        "before it is sent, then `answered`, `refused` (nothing was sent) or `failed`; for "
        "the intent's own host only `refused` and `failed` are entries (all until 0.2); has the "
        "host, its `state` when asked, its record's digest, and what it said of itself"
    ),
    "search": (
        "passages of a collection were returned: its state and a commitment to each; the query "
        "is a text; `client` as in an intent; `actor` if a person searched"
    ),
    "admin": (
        "initialisation, keys, reading of texts; `replay` counts the answers that were the same, "
        "different (`entries`) or not computed; `advice` has "
        "`result_sha256`, the digest of the file of `appliance advise --result`; an `actor` whom "
        "the directory knows is also `end_user`, from `ldap:NAME`, in entries of each kind"
    ),
    "model": "an artifact changes its state",
    "worker": "an engine process starts or ends; `restarts` counts its restarts",
    "job_start": (
        "a job begins or resumes: its number, kind, and parameters as JSON text of at most "
        "4,096 characters"
    ),
    "job_end": (
        "`state` is `done`, `failed`, `cancelled`, `paused`, `queued` (the next start "
        "resumes it) or `interrupted`; with `done`, `result_sha256` is the digest of the "
        "result as `appliance job result` writes it"
    ),
    "counted": (
        "rejected requests, and those that ran no model (`models`, `usage`, `tokens`), of "
        "one source in one minute, by code; beyond 64 sources, `others` has the rest"
    ),
    "key_handover": "the last entry of its epoch; see below",
    "witness": "a witness cosigned this head; `key` is its verifier key",
    "erase": (
        "destroys the content keys of these entries and the texts of the same id elsewhere; "
        "`places` counts those texts, `backups` and `datasets` name what still holds some"
    ),
    "export": "entries were exported in this format",
    "prune_approval": (
        "a person signed that the entries below `before`, whose tree has this root, may be pruned; "
        "`envelope` is the DSSE envelope (docs/trust.md), its subject `entries below BEFORE "
        "of the audit log ORIGIN` with the root as `sha256`"
    ),
    "prune": (
        "the entries below `before` are pruned; `approvals` are the numbers of `prune_approval` "
        "entries of at least two people"
    ),
}
"""The notes on each kind in docs/audit-format.md."""

END_USER: Final = ("end_user", "end_user_from")
"""Fields about a person who asked or acted: the name in the log, and how it is known."""
# Indexed where present, whatever the kind.
_QUERIED: Final = ("request_id", "key_id", "model")


class _Off(msgspec.Struct, tag_field="mode", tag="off", forbid_unknown_fields=True):
    pass


class _Committed(msgspec.Struct, forbid_unknown_fields=True):
    commitment: Digest


class _Encrypted(msgspec.Struct, forbid_unknown_fields=True):
    commitment: Digest
    ciphertext: Digest


class _CommitOnly(
    msgspec.Struct, tag_field="mode", tag="commit-only", forbid_unknown_fields=True
):  # fmt: skip
    key: str
    parts: dict[str, _Committed]


class _Kept(msgspec.Struct, tag_field="mode", tag="encrypted", forbid_unknown_fields=True):
    key: str
    parts: dict[str, _Encrypted]


_OPTIONAL: Final = [(name, str | msgspec.UnsetType, msgspec.UNSET) for name in _QUERIED]
_CONTENT: Final = ("content", _Off | _CommitOnly | _Kept | msgspec.UnsetType, msgspec.UNSET)
_KIND: Final = ("kind", Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,39}\Z")])


def _fields_type() -> Any:
    """One struct per kind; its tag is the kind. Unlisted fields are allowed."""
    structs = []
    for kind, fields in KINDS.items():
        required = [*_COMMON.items(), *fields.items()]
        more = [entry for entry in _OPTIONAL if entry[0] not in fields]
        structs.append(
            msgspec.defstruct(
                kind.capitalize(), [*required, *more, _CONTENT], tag_field="kind", tag=kind
            )
        )
    return functools.reduce(operator.or_, structs)


def _json_type(depth: int) -> Any:
    scalar: Any = str | Annotated[int, msgspec.Meta(ge=-MAX_INT, le=MAX_INT)] | bool | None
    nested: Any = scalar
    for _ in range(depth):
        nested = scalar | list[nested] | dict[str, nested]
    return dict[str, nested]


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(_json_type(5))
_FIELDS: Final = msgspec.json.Decoder(_fields_type())
_NEWER: Final = msgspec.json.Decoder(
    msgspec.defstruct("Newer", [*_COMMON.items(), _KIND, *_OPTIONAL, _CONTENT])
)
"""The fields that entries of every kind have."""


@dataclass(frozen=True)
class Draft:
    """A caller's entry to record; the log adds the rest.

    Attributes:
        kind: one of `KINDS`, but neither genesis nor key_handover.
        fields: the kind's fields and more; none of `ASSIGNED`.
        contents: texts by name, e.g. `{"prompt": b"…"}`. They go encrypted next to the log.
        mode: what is kept of them: `encrypted`, `commit-only` or `off`; None is the log's own.
    """

    kind: str
    fields: Mapping[str, Json]
    contents: Mapping[str, bytes] = field(default_factory=dict)
    mode: Literal["encrypted", "commit-only", "off"] | None = None

    @classmethod
    def deed(cls, action: str, actor: str, /, **fields: Json) -> Self:
        return cls("admin", {"action": action, "actor": actor, **fields})

    def check(self) -> None:
        if self.kind not in KINDS or self.kind in ("genesis", "key_handover"):
            raise _invalid("unknown kind")
        taken = ASSIGNED.intersection(self.fields)
        if taken:
            raise _invalid(f"the log itself fills in {min(taken)}")


@dataclass(frozen=True)
class LogEntry:
    """One entry as it was read.

    Attributes:
        raw: the canonical body.
        leaf: RFC 6962 leaf hash of `raw`, 32 bytes.
    """

    body: Mapping[str, Json]
    raw: bytes
    leaf: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "LogEntry":
        """Decode a body (`audit_entry_invalid`)."""
        return cls(decode(raw), raw, leaf_hash(raw))

    @property
    def seq(self) -> int:
        """Sequence number, from 0."""
        return cast(int, self.body["seq"])

    @property
    def kind(self) -> str:
        return cast(str, self.body["kind"])

    @property
    def time_us(self) -> int:
        """Wall time of the append, microseconds since the Unix epoch."""
        return cast(int, self.body["time_us"])


def readable(raw: bytes) -> dict[str, Any] | None:
    """None for no entry."""
    try:
        return dict(LogEntry.parse(raw).body)
    except AuditRefused:
        return None


def canonical(value: Mapping[str, Json]) -> bytes:
    """The canonical form of an object.

    Raises:
        AuditRefused: `audit_entry_invalid` for a float, an integer of 2^53 or more, a key or
            a string that is not Unicode, a key outside ASCII, or nesting deeper than six.
    """
    try:
        raw = _ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise _invalid(str(error)) from error
    parse_canonical(raw)
    return raw


def parse_canonical(raw: bytes) -> dict[str, Json]:
    """Read a canonical object."""
    try:
        value = cast(dict[str, Json], _DECODER.decode(raw))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _invalid(str(error)) from error
    # Duplicate keys, blanks, order, escapes and -0 all show here.
    if _ENCODER.encode(value) != raw:
        raise _invalid("not in canonical form")
    # ASCII keys sort alike in every encoding, so no reader needs JCS's UTF-16 order.
    if not raw.isascii() and not _ascii_keys(value):
        raise _invalid("a key outside ASCII")
    return value


def encode(body: Mapping[str, Json]) -> bytes:
    """The bytes of a complete body, checked as by `decode`.

    More than 65,535 are `audit_entry_invalid`.
    """
    raw = canonical(body)
    if len(raw) > MAX_BODY:
        raise _invalid(f"{len(raw)} bytes; at most {MAX_BODY} fit")
    _check(raw, _FIELDS)
    return raw


def decode(raw: bytes) -> dict[str, Json]:
    """Read a body.

    `audit_entry_invalid` when the bytes are not canonical, a field that the kind must have is
    missing or has another type, or the version is unknown.
    """
    if len(raw) > MAX_BODY:
        raise _invalid(f"{len(raw)} bytes; at most {MAX_BODY} fit")
    body = parse_canonical(raw)
    _check(raw, _FIELDS if str(body.get("kind")) in KINDS else _NEWER)
    return body


def _check(raw: bytes, fields: msgspec.json.Decoder[Any]) -> None:
    try:
        fields.decode(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _invalid(str(error)) from error


def _ascii_keys(value: Json) -> bool:
    if isinstance(value, dict):
        return all(key.isascii() and _ascii_keys(inner) for key, inner in value.items())
    return all(map(_ascii_keys, value)) if isinstance(value, list) else True


_invalid: Final = AuditRefused.of("audit_entry_invalid", "An audit entry is not valid")
