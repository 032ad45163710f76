"""An approval: one person's signed statement that something may be done, and what it means.

Rules: the statement names an artifact by its OMS root digest and by the digest of the very
`model.sig`, the part of an audit log that may go by the root of its tree, or an upstream host by
the digest of its record; it carries the printed name, the time and the meaning of the signature
(21 CFR 11.50), and the round of approvals that it belongs to, so that an approval given before a
suspension never counts after it; the name must be the person whom the policy binds to the key.

Source: in-toto Statement v1 in a DSSE envelope, predicate type of our own (docs/trust.md).
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from appliance.clock import iso
from appliance.errors import PolicyRefused
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.bytes.names import SIGNATURE_FILE
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import statement
from appliance.trust.statements.statement import PAYLOAD_TYPE, TIME
from appliance.trust.statements.upstream import UpstreamRecord

PREDICATE_TYPE: Final = "https://appliance.invalid/approval/v1"
MAX_ENVELOPE: Final = 64 << 10


@dataclass(frozen=True)
class ApprovalSubject:
    """What is approved.

    Attributes:
        digest: hex OMS root digest.
        signature_sha256: hex SHA-256 of `model.sig`.
        round: how often approvals of the model were made void before, by a suspension.
        certificate: hex digest of the evaluation that the approval rests on, where the policy
            asks for one.
    """

    digest: str
    signature_sha256: str
    round: int = 0
    certificate: str | None = None

    def named(self) -> list[Any]:
        """The subjects of the statement."""
        named = [
            statement.subject("model", self.digest),
            statement.subject(SIGNATURE_FILE, self.signature_sha256),
        ]
        if self.certificate is not None:
            named.append(statement.subject("evaluation", self.certificate))
        return named


@dataclass(frozen=True)
class PruneSubject:
    """What may go from an audit log.

    Attributes:
        origin: name of the log.
        before: the first entry that stays.
        root: hex root of the tree of all entries before that.
    """

    origin: str
    before: int
    root: str
    round: int = 0

    def named(self) -> list[Any]:
        """The subjects of the statement."""
        name = f"entries below {self.before} of the audit log {self.origin}"
        return [statement.subject(name, self.root)]


@dataclass(frozen=True)
class UpstreamSubject:
    """A host that requests may be sent to.

    Attributes:
        name: of the upstream.
        url: of the host.
        digest: hex digest of the record of the host.
        identity: hex digest of what all hosts of the upstream share.
    """

    name: str
    url: str
    digest: str
    identity: str
    round: int = 0

    @classmethod
    def of(cls, record: UpstreamRecord) -> "UpstreamSubject":
        """The subject of an approval of this record."""
        return cls(record.name, record.url, record.digest, record.identity)

    def named(self) -> list[Any]:
        """The subjects of the statement."""
        return [
            {"name": f"upstream {self.name} at {self.url}", "digest": {"sha256": self.digest}},
            {"name": "identity", "digest": {"sha256": self.identity}},
        ]


Subject: TypeAlias = ApprovalSubject | PruneSubject | UpstreamSubject


@dataclass(frozen=True)
class Approval:
    """A valid approval.

    Attributes:
        time: ISO 8601 in UTC, as the approver's machine told it.
        key: hint of the approver's key.
    """

    name: str
    meaning: str
    time: str
    key: str


def sign(subject: Subject, *, name: str, meaning: str, time_us: int, private_key: bytes) -> bytes:
    """Make an approval as a DSSE envelope.

    Args:
        name: the approver, as in the policy.
        meaning: what the signature says, for example "evaluated and fit for use".
        time_us: microseconds since the epoch.
        private_key: PEM.

    Raises:
        PolicyRefused: `approval_malformed` when name or meaning cannot be printed.
        SignatureRefused: `signature_key_unsupported`.
    """
    predicate = {"name": name, "time": iso(time_us), "meaning": meaning, "round": subject.round}
    payload = strict_json.dump(statement.document(subject.named(), PREDICATE_TYPE, predicate))
    _read(payload)
    return dsse.sign(payload, PAYLOAD_TYPE, [ecdsa.load_private(private_key)])


def verify(envelope: bytes, policy: TrustPolicy, subject: Subject) -> Approval:
    """Check an approval of `subject`.

    Raises:
        PolicyRefused: `approval_malformed`, `approval_signature`, `approval_other_artifact`,
            `approval_void` for one of another round, and what `TrustPolicy.approver` raises.
    """
    opened = statement.opened(envelope, MAX_ENVELOPE, _refuse("approval_malformed"))
    said = _read(opened.payload)
    # Who may approve is asked before whether the signature holds, so that a person with a
    # wrong key learns why.
    opened.check(policy.approver(opened.hint, said.name).public, _refuse("approval_signature"))
    if said.subjects != subject.named():
        raise PolicyRefused(
            "approval_other_artifact", f"The approval by {said.name} is for something else."
        )
    if said.round != subject.round:
        raise PolicyRefused(
            "approval_void",
            f"The approval by {said.name} is of round {said.round}; "
            f"the model is in round {subject.round}.",
        )
    return Approval(said.name, said.meaning, said.time, opened.hint)


@dataclass(frozen=True)
class _Statement:
    subjects: list[Any]
    name: str
    time: str
    meaning: str
    round: int


def _read(payload: bytes) -> _Statement:
    refuse = _refuse("approval_malformed")
    subjects, predicate = statement.parts(payload, PREDICATE_TYPE, MAX_ENVELOPE, refuse)
    strict_json.only(predicate, {"name", "time", "meaning", "round"}, "predicate", refuse)
    name, time, meaning = (
        strict_json.member(predicate, field, str, refuse) for field in ("name", "time", "meaning")
    )
    for text, limit in ((name, 100), (meaning, 500)):
        if not text.strip() or not text.isprintable() or len(text) > limit:
            raise refuse("name and meaning must be printable, at most 100 and 500 characters")
    if not TIME.fullmatch(time):
        raise refuse("time is not like 2026-11-24T16:00:00Z")
    number = strict_json.optional(predicate, "round", int, 0, refuse)
    return _Statement(subjects, name, time, meaning, number)


def _refuse(code: str) -> strict_json.Refuse:
    return lambda problem: PolicyRefused(code, f"Approval: {problem}.")
