"""An approval: one person's signed statement that something may be done, and its meaning.

Rules: the subject is an artifact by OMS root digest and digest of `model.sig`, the part of an audit
log by the root of its tree, or an upstream host by the digest of its record; with printed name,
time and meaning of the signature (21 CFR 11.50), and the round, so that an approval from before a
suspension never counts after it.

Source: in-toto Statement v1 in a DSSE envelope, predicate type of our own (docs/trust.md).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self, TypeAlias

from msgspec import Meta

from appliance.clock import SystemClock, iso
from appliance.errors import PolicyRefused
from appliance.trust.bytes import ecdsa
from appliance.trust.bytes.names import SIGNATURE_FILE
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements.statement import NamedDigest, Time, Unnamed, named
from appliance.trust.statements.upstream import UpstreamRecord
from appliance.types import JsonValue


@dataclass(frozen=True)
class ApprovalSubject:
    """Subject of an approval.

    Attributes:
        digest: hex OMS root digest.
        signature_sha256: hex, of `model.sig`.
        round: how often a suspension voided the model's approvals before.
        certificate: hex digest of the evaluation, where the policy asks for one.
    """

    digest: str
    signature_sha256: str
    round: int = 0
    certificate: str | None = None

    def named(self) -> tuple[NamedDigest, ...]:
        rests_on = () if self.certificate is None else (named("evaluation", self.certificate),)
        signature = named(SIGNATURE_FILE, self.signature_sha256)
        return (named("model", self.digest), signature, *rests_on)


@dataclass(frozen=True)
class PrunedEntries:
    """Entries that may go from an audit log.

    Attributes:
        origin: name of the log.
        before: the first entry that stays.
        root: hex root of the tree of all entries before that.
    """

    origin: str
    before: int
    root: str
    round: int = 0

    def named(self) -> tuple[NamedDigest, ...]:
        return (named(f"entries below {self.before} of the audit log {self.origin}", self.root),)


@dataclass(frozen=True)
class UpstreamSubject:
    """A host that requests may be sent to.

    Attributes:
        digest: hex digest of the host's record.
        identity: hex digest of what all hosts of the upstream share.
    """

    name: str
    url: str
    digest: str
    identity: str
    round: int = 0

    @classmethod
    def of(cls, record: UpstreamRecord) -> Self:
        return cls(record.name, record.url, record.digest, record.identity)

    def named(self) -> tuple[NamedDigest, ...]:
        host = named(f"upstream {self.name} at {self.url}", self.digest)
        return (host, named("identity", self.identity))


Subject: TypeAlias = ApprovalSubject | PrunedEntries | UpstreamSubject


@dataclass(frozen=True)
class ValidApproval:
    """A valid approval.

    Attributes:
        time: ISO 8601 in UTC, by the clock of the approver's machine.
        key: hint of the approver's key.
    """

    name: str
    meaning: str
    time: str
    key: str


class ApprovalStatement(Unnamed, frozen=True):
    """An approval as a person signs it.

    Attributes:
        name: the approver, as in the policy.
        meaning: of the signature, for example "evaluated and fit for use".
    """

    KIND: ClassVar = "https://appliance.invalid/approval/v1"
    NOUN: ClassVar = "Approval"
    LIMIT: ClassVar = 64 << 10
    MALFORMED: ClassVar = "approval_malformed"
    UNSIGNED: ClassVar = "approval_signature"

    name: Annotated[str, Meta(max_length=100)]
    time: Time
    meaning: Annotated[str, Meta(max_length=500)]
    round: int

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        return policy.approver(hint, self.name)

    @classmethod
    def parse(cls, subjects: tuple[NamedDigest, ...], predicate: dict[str, JsonValue]) -> Self:
        """An approval without a round is of the first."""
        return super().parse(subjects, {"round": 0} | predicate)

    def check(self) -> None:
        """Name and meaning print."""
        for text in (self.name, self.meaning):
            if not text.strip() or not text.isprintable():
                raise self.malformed("name and meaning must be printable")


def sign(
    subject: Subject,
    *,
    name: str,
    meaning: str,
    time_us: int | None = None,
    private_key: ecdsa.SigningKey | bytes,
) -> bytes:
    """Make an approval as a DSSE envelope.

    Args:
        time_us: microseconds since the epoch; None: now.
        private_key: opened, or an unencrypted PEM.
    """
    time = iso(SystemClock().wall_us() if time_us is None else time_us)
    said = ApprovalStatement(subject.named(), name, time, meaning, subject.round)
    return said.sign(private_key)


def verify(envelope: bytes, policy: TrustPolicy, subject: Subject) -> ValidApproval:
    """Check an approval of `subject`.

    Raises:
        PolicyRefused: `approval_malformed`, `approval_signature`, `approval_other_artifact`,
            `approval_void` for one of another round.
    """
    given = ApprovalStatement.verify(envelope, policy)
    said = given.said
    if said.about != subject.named():
        raise PolicyRefused(
            "approval_other_artifact", f"The approval by {said.name} is for something else."
        )
    if said.round != subject.round:
        raise PolicyRefused(
            "approval_void",
            f"The approval by {said.name} is of round {said.round}; "
            f"the model is in round {subject.round}.",
        )
    return ValidApproval(said.name, said.meaning, said.time, given.key)
