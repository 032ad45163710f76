"""A pointer: an approver's signed statement which versions of a task answer under a name.

Rules: each pointer names the one before it by digest, so that two people cannot both follow the
same one; a task is named by id and by the root digest of its signature; a pointer says nothing of
whether a task may serve, which is asked of the task each time.

Source: in-toto Statement v1 in a DSSE envelope, predicate type of our own (docs/gate.md).
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

from appliance.errors import ApplianceError, PolicyRefused
from appliance.trust import dsse, ecdsa, strict_json
from appliance.trust.approval import PAYLOAD_TYPE, STATEMENT_TYPE
from appliance.trust.names import MODEL_ID
from appliance.trust.policy import TrustPolicy

PREDICATE_TYPE: Final = "https://appliance.invalid/task-pointer/v1"
MAX_ENVELOPE: Final = 64 << 10
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_TEXTS: Final = ("name", "previous", "person", "reason", "time")
_ROLES: Final = ("live", "canary", "shadow")


@dataclass(frozen=True)
class Version:
    """One version of a task.

    Attributes:
        task: its id in the store.
        digest: hex root digest of its signature.
    """

    task: str
    digest: str


@dataclass(frozen=True)
class Pointer:
    """What answers under a name.

    Attributes:
        name: that apps use.
        live: answers.
        previous: hex digest of the pointer before; "" for the first.
        person: who signs, an approver.
        time: when, ISO 8601 in UTC.
        canary: answers a share of the apps in place of `live`.
        percent: the share of the canary, 1 to 99; 0 without one.
        shadow: answers beside the others; apps never get its answers.
    """

    name: str
    live: Version
    previous: str
    person: str
    reason: str
    time: str
    canary: Version | None = None
    percent: int = 0
    shadow: Version | None = None

    def versions(self) -> list[Version]:
        """The versions that it names."""
        return [each for each in (self.live, self.canary, self.shadow) if each is not None]


@dataclass(frozen=True)
class Signed:
    """A pointer whose signature holds.

    Attributes:
        id: hex SHA-256 of the signed payload.
    """

    pointer: Pointer
    id: str


def sign(pointer: Pointer, private_key: bytes) -> bytes:
    """Sign a pointer as a DSSE envelope.

    Raises:
        PolicyRefused: `pointer_malformed`.
        SignatureRefused: `signature_key_unsupported`.
    """
    subjects = [
        {"name": each.task, "digest": {"sha256": each.digest}} for each in pointer.versions()
    ]
    roles = {role: getattr(pointer, role) for role in _ROLES}
    payload = strict_json.dump(
        {
            "_type": STATEMENT_TYPE,
            "subject": subjects,
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                **{field: getattr(pointer, field) for field in _TEXTS},
                **{role: each.task if each else "" for role, each in roles.items()},
                "percent": pointer.percent,
            },
        }
    )
    _read(payload)
    return dsse.sign(payload, PAYLOAD_TYPE, [ecdsa.load_private(private_key)])


def verify(envelope: bytes, policy: TrustPolicy) -> Signed:
    """Check who signed a pointer, and read it.

    Raises:
        PolicyRefused: `pointer_malformed`, `pointer_signature`, and what `TrustPolicy.approver`
            raises.
    """
    if len(envelope) > MAX_ENVELOPE:
        raise _malformed(f"{len(envelope)} bytes are more than {MAX_ENVELOPE}")
    opened = dsse.parse(envelope, PAYLOAD_TYPE, _malformed)
    if len(opened.signatures) != 1:
        raise _malformed("it must have exactly one signature")
    pointer = _read(opened.payload)
    hint = opened.signatures[0][0]
    key = policy.approver(hint, pointer.person)
    dsse.signers(opened, {hint: key.public}, _unsigned)
    return Signed(pointer, hashlib.sha256(opened.payload).hexdigest())


def _read(payload: bytes) -> Pointer:
    refuse = _malformed
    value = strict_json.parse(payload, refuse, limit=MAX_ENVELOPE)
    if strict_json.member(value, "_type", str, refuse) != STATEMENT_TYPE:
        raise refuse(f"_type is not {STATEMENT_TYPE}")
    if strict_json.member(value, "predicateType", str, refuse) != PREDICATE_TYPE:
        raise refuse(f"predicateType is not {PREDICATE_TYPE}")
    versions = [_version(each) for each in strict_json.member(value, "subject", list, refuse)]
    predicate: dict[str, Any] = strict_json.member(value, "predicate", dict, refuse)
    strict_json.only(predicate, {*_TEXTS, *_ROLES, "percent"}, "predicate", refuse)
    texts = {field: strict_json.member(predicate, field, str, refuse) for field in _TEXTS}
    named = [strict_json.member(predicate, role, str, refuse) for role in _ROLES]
    percent = strict_json.member(predicate, "percent", int, refuse)
    if [each for each in named if each] != [each.task for each in versions] or not named[0]:
        raise refuse("its subjects are not the tasks that it names, of which one must be live")
    if len({each.task for each in versions}) != len(versions):
        raise refuse("a task has two roles")
    if not (1 <= percent <= 99 if named[1] else percent == 0):
        raise refuse("the share of a canary is 1 to 99 percent")
    if not _is_name(texts["name"]):
        raise refuse(f"{texts['name'][:80]!r} cannot be the name of a task")
    if texts["previous"] and not _HEX.fullmatch(texts["previous"]):
        raise refuse("previous is no lower-case SHA-256")
    if not _TIME.fullmatch(texts["time"]):
        raise refuse("time is not like 2026-11-24T16:00:00Z")
    for text in (texts["person"], texts["reason"]):
        if not text.strip() or not text.isprintable() or len(text) > 500:
            raise refuse("person and reason must be printable, at most 500 characters")
    found = {version.task: version for version in versions}
    live, canary, shadow = named
    return Pointer(
        live=found[live],
        canary=found.get(canary),
        percent=percent,
        shadow=found.get(shadow),
        **texts,
    )


def _version(subject: Any) -> Version:
    refuse = _malformed
    task = strict_json.member(subject, "name", str, refuse)
    digests: dict[str, Any] = strict_json.member(subject, "digest", dict, refuse)
    digest = strict_json.member(digests, "sha256", str, refuse)
    if not _is_name(task):
        raise refuse(f"{task[:80]!r} cannot be the id of a task")
    if not _HEX.fullmatch(digest):
        raise refuse("a digest is no lower-case SHA-256")
    return Version(task, digest)


def _is_name(text: str) -> bool:
    return bool(MODEL_ID.fullmatch(text)) and ":" not in text


def _malformed(problem: str) -> ApplianceError:
    return PolicyRefused("pointer_malformed", f"Pointer: {problem}.")


def _unsigned(problem: str) -> ApplianceError:
    return PolicyRefused("pointer_signature", f"Pointer: {problem}.")
