"""A pointer: an approver's signed statement which versions of a task answer under a name.

Rules: each pointer names the one before it by digest, so that two people cannot both follow the
same one; a task is named by id and by the root digest of its signature; a pointer says nothing of
whether a task may serve, which is asked of the task each time.

Source: in-toto Statement v1 in a DSSE envelope, predicate type of our own (docs/gate.md).
"""

from dataclasses import dataclass
from typing import Any, Final

from appliance.errors import ApplianceError, PolicyRefused
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.bytes.names import MODEL_ID
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import statement
from appliance.trust.statements.statement import HEX, PAYLOAD_TYPE, TIME

PREDICATE_TYPE: Final = "https://appliance.invalid/task-pointer/v1"
MAX_ENVELOPE: Final = 64 << 10
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
    subjects = [statement.subject(each.task, each.digest) for each in pointer.versions()]
    roles = {role: getattr(pointer, role) for role in _ROLES}
    predicate = {
        **{field: getattr(pointer, field) for field in _TEXTS},
        **{role: each.task if each else "" for role, each in roles.items()},
        "percent": pointer.percent,
    }
    payload = strict_json.dump(statement.document(subjects, PREDICATE_TYPE, predicate))
    _read(payload)
    return dsse.sign(payload, PAYLOAD_TYPE, [ecdsa.load_private(private_key)])


def verify(envelope: bytes, policy: TrustPolicy) -> Signed:
    """Check who signed a pointer, and read it.

    Raises:
        PolicyRefused: `pointer_malformed`, `pointer_signature`, and what `TrustPolicy.approver`
            raises.
    """
    opened = statement.opened(envelope, MAX_ENVELOPE, _malformed)
    pointer = _read(opened.payload)
    opened.check(policy.approver(opened.hint, pointer.person).public, _unsigned)
    return Signed(pointer, opened.digest)


def _read(payload: bytes) -> Pointer:
    refuse = _malformed
    subjects, predicate = statement.parts(payload, PREDICATE_TYPE, MAX_ENVELOPE, refuse)
    versions = [_version(each) for each in subjects]
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
    if texts["previous"] and not HEX.fullmatch(texts["previous"]):
        raise refuse("previous is no lower-case SHA-256")
    if not TIME.fullmatch(texts["time"]):
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
    task, digest = statement.read_subject(subject, _malformed)
    if not _is_name(task):
        raise _malformed(f"{task[:80]!r} cannot be the id of a task")
    return Version(task, digest)


def _is_name(text: str) -> bool:
    return bool(MODEL_ID.fullmatch(text)) and ":" not in text


def _malformed(problem: str) -> ApplianceError:
    return PolicyRefused("pointer_malformed", f"Pointer: {problem}.")


def _unsigned(problem: str) -> ApplianceError:
    return PolicyRefused("pointer_signature", f"Pointer: {problem}.")
