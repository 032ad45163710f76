"""A pointer: an approver's signed statement which versions of a task answer under a name.

Rules: each pointer names the one before it by digest, so that two people cannot both follow the
same one. A pointer does not let a task serve: that is checked each time.

Source: in-toto Statement v1 in a DSSE envelope, predicate type of our own (docs/gate.md).
"""

from typing import Annotated, ClassVar, Final, Self

from msgspec import Meta, Struct

from appliance.trust.bytes import strict_json
from appliance.trust.bytes.names import MODEL_ID
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements.statement import (
    NamedDigest,
    NoSha256,
    Sha256,
    Statement,
    Time,
    named,
)
from appliance.types import JsonValue

_ROLES: Final = ("live", "canary", "shadow")


class TaskVersion(Struct, frozen=True):
    """One version of a task.

    Attributes:
        digest: hex root digest of its signature.
    """

    task: str
    digest: Sha256


class TaskPointer(Statement, frozen=True):
    """Target of a name that apps use.

    Attributes:
        live: answers.
        previous: hex digest of the pointer before; "" for the first.
        canary: answers a share of the apps in place of `live`.
        percent: the share of the canary, 1 to 99; 0 without one.
        shadow: answers next to the others; apps never get its answers.
    """

    KIND: ClassVar = "https://appliance.invalid/task-pointer/v1"
    NOUN: ClassVar = "Pointer"
    LIMIT: ClassVar = 64 << 10
    MALFORMED: ClassVar = "pointer_malformed"
    UNSIGNED: ClassVar = "pointer_signature"

    name: str
    live: TaskVersion
    previous: NoSha256
    person: Annotated[str, Meta(max_length=500)]
    reason: Annotated[str, Meta(max_length=500)]
    time: Time
    canary: TaskVersion | None = None
    percent: int = 0
    shadow: TaskVersion | None = None

    def versions(self) -> list[TaskVersion]:
        return [each for each in (self.live, self.canary, self.shadow) if each is not None]

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        return policy.approver(hint, self.person)

    def subjects(self) -> tuple[NamedDigest, ...]:
        return tuple(named(each.task, each.digest) for each in self.versions())

    def predicate(self) -> dict[str, JsonValue]:
        tasks = {role: getattr(self, role) for role in _ROLES}
        return super().predicate() | {r: each.task if each else "" for r, each in tasks.items()}

    @classmethod
    def parse(cls, subjects: tuple[NamedDigest, ...], predicate: dict[str, JsonValue]) -> Self:
        found = {each.name: {"task": each.name, "digest": each.digest.sha256} for each in subjects}
        tasks = {r: strict_json.member(predicate, r, str, cls.malformed) for r in _ROLES}
        return super().parse(subjects, predicate | {r: found.get(t) for r, t in tasks.items()})

    def check(self) -> None:
        """Check that a task has one role, a canary a share, and that texts print."""
        tasks = [each.task for each in self.versions()]
        if len(set(tasks)) != len(tasks):
            raise self.malformed("a task has two roles")
        if not (1 <= self.percent <= 99 if self.canary else self.percent == 0):
            raise self.malformed("the share of a canary is 1 to 99 percent")
        for name in (self.name, *tasks):
            if not MODEL_ID.fullmatch(name) or ":" in name:
                raise self.malformed(f"{name[:80]!r} cannot be the name of a task")
        for text in (self.person, self.reason):
            if not text.strip() or not text.isprintable():
                raise self.malformed("person and reason must be printable")
