"""Statements on their way: approvals, pointers, certificates of gates and routes, suspensions.

Rules: each takes the way of one on a stick, with its checks and its entry in the log. An approval
waits for its artifact, and counts in its own round. Of a name's pointers that no other follows, the
last signed one holds, on each appliance.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, ClassVar, Final, Protocol

import msgspec
from msgspec import Meta

from appliance.errors import PolicyRefused, Refused, StateRefused
from appliance.peers.documents import TravellingDocument, TravelStore
from appliance.peers.signed_key import MOST_VERSIONS
from appliance.registry.pointing import Pointing
from appliance.registry.states import following
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.bytes import ecdsa, strict_json
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements.approval import ApprovalStatement, UpstreamSubject
from appliance.trust.statements.pointer import TaskPointer
from appliance.trust.statements.route_certificates import RouteCertificates
from appliance.trust.statements.statement import Sha256, Signed, Statement
from appliance.trust.statements.upstream import UpstreamRecord

ACTOR: Final = "site"


class _Statements:
    """Documents that never change: each has version 1 and its digest as id.

    Args:
        here: those of this appliance.
    """

    name: str

    def __init__(self, store: TravelStore, here: Callable[[], Iterable[bytes]]) -> None:
        self._store, self._here = store, here
        self._told: set[bytes] = set()

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        raise NotImplementedError

    def made(self, policy: TrustPolicy) -> Iterator[TravellingDocument]:
        """Those that were not looked at since the start."""
        for envelope in self._here():
            if envelope not in self._told:
                with contextlib.suppress(Refused):
                    yield self.read(envelope, policy)
                self._told.add(envelope)

    def _document(self, digest: str, envelope: bytes) -> TravellingDocument:
        return TravellingDocument(self.name, digest, 1, digest, envelope)


class TravellingApprovals(_Statements):
    """Approvals of artifacts.

    Args:
        approve: takes one for an artifact, as `Pool.approve`.
    """

    name = "approval"

    def __init__(
        self,
        store: TravelStore,
        models: ModelStore,
        approve: Callable[[str, str, bytes], object],
    ) -> None:
        super().__init__(store, models.envelopes)
        self._models, self._approve = models, approve

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        return self._document(ApprovalStatement.verify(envelope, policy).id, envelope)

    def apply(self, document: TravellingDocument, policy: TrustPolicy) -> None:
        said = ApprovalStatement.open(document.envelope).said
        digests = {each.digest.sha256 for each in said.about}
        for record in self._models.inventory.records():
            if record.digest not in digests:
                continue
            if document.envelope in self._models.envelopes(record.id):
                return
            following(record.id, record.state, "approve")
            subject = self._models.subject(record.id, policy)
            if said.about != subject.named() or said.round != subject.round:
                raise StateRefused("approval_void", "It is of another round or certificate.")
            with _once("approval_duplicate"):
                self._approve(ACTOR, record.id, document.envelope)
            return
        raise StateRefused("unknown_model_id", "Its artifact is not here.")


class TravellingPointers(_Statements):
    """Pointers of names."""

    name = "pointer"

    def __init__(self, store: TravelStore, pointing: Pointing) -> None:
        super().__init__(store, pointing.pointers.envelopes)
        self._pointing = pointing

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        return self._document(TaskPointer.verify(envelope, policy).id, envelope)

    def apply(self, document: TravellingDocument, policy: TrustPolicy) -> None:
        pointer = TaskPointer.verify(document.envelope, policy)
        newest = self._pointing.pointers.newest(pointer.said.name)
        last = self._last(pointer, policy)
        if last.id == pointer.id and (newest is None or newest[0] != pointer.id):
            self._pointing.flip(ACTOR, document.envelope, policy, follows=False)

    def _last(self, pointer: Signed[TaskPointer], policy: TrustPolicy) -> Signed[TaskPointer]:
        """The one of its name that holds."""
        known = {pointer.id: pointer}
        for one in self._store.of(self.name):
            with contextlib.suppress(Refused):
                known[one.id] = TaskPointer.verify(one.envelope, policy)
        of = [each for each in known.values() if each.said.name == pointer.said.name]
        followed = {each.said.previous for each in of}
        ends = [each for each in of if each.id not in followed]
        return max(ends, key=lambda each: (each.said.time, each.id), default=pointer)


class Identified(Protocol):
    """A certificate that was verified."""

    @property
    def id(self) -> str:
        """Digest of what was signed."""
        ...


class TravellingCertificates(_Statements):
    """Certificates of one kind.

    Args:
        verify: reads one under a policy.
        envelopes: those that are kept here.
        keep: takes one that came from elsewhere, as `keeping.keep_certificate`.
    """

    def __init__(
        self,
        name: str,
        store: TravelStore,
        verify: Callable[[bytes, TrustPolicy], Identified],
        envelopes: Callable[[], list[bytes]],
        keep: Callable[[str, bytes, TrustPolicy], object],
    ) -> None:
        super().__init__(store, envelopes)
        self.name, self._verify, self._keep = name, verify, keep

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        return self._document(self._verify(envelope, policy).id, envelope)

    def apply(self, document: TravellingDocument, policy: TrustPolicy) -> None:
        """Keep it, unless it is kept already."""
        if document.envelope not in self._here():
            self._keep(ACTOR, document.envelope, policy)


class RouteSuspension(Statement, frozen=True):
    """A suspended certificate, as an appliance of the site signs it.

    Attributes:
        version: counts its signers.
    """

    KIND: ClassVar = "https://appliance.invalid/route-suspension/v1"
    NOUN: ClassVar = "Suspension"
    LIMIT: ClassVar = 16 << 10
    MALFORMED: ClassVar = "travelling_malformed"
    UNSIGNED: ClassVar = "travelling_signature"
    SUBJECTS: ClassVar = (("route", "certificate"),)

    route: Annotated[str, Meta(min_length=1, max_length=200)]
    certificate: Sha256
    reason: Annotated[str, Meta(max_length=500)]
    version: Annotated[int, Meta(ge=1, le=MOST_VERSIONS)]

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        return policy.member(hint)


class TravellingSuspensions:
    """Suspensions of certificates for the engine that serves.

    Args:
        take_away: `RoutingRoom.take_away`.
    """

    name = "route-suspension"

    def __init__(
        self,
        store: TravelStore,
        certificates: RouteCertificates,
        take_away: Callable[[str, str, str, str], None],
        engine: Callable[[], str],
        key: Callable[[], ecdsa.SigningKey],
    ) -> None:
        self._store, self._certificates = store, certificates
        self._take_away, self._engine, self._key = take_away, engine, key

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        found = RouteSuspension.verify(envelope, policy)
        said = found.said
        return TravellingDocument(self.name, said.certificate, said.version, found.id, envelope)

    def apply(self, document: TravellingDocument, policy: TrustPolicy) -> None:
        opened = RouteSuspension.open(document.envelope)
        said, member = opened.said, policy.site.members.get(opened.hint)
        actor = f"{ACTOR} {member.name if member else opened.hint}"
        self._take_away(said.certificate, said.route, said.reason, actor)

    def made(self, policy: TrustPolicy) -> Iterator[TravellingDocument]:
        """Those of here that no listed appliance signed."""
        kept = {one.id: RouteSuspension.open(one.envelope) for one in self._store.of(self.name)}
        for certificate, reason in self._certificates.suspensions().items():
            before = kept.get(certificate)
            if before is not None and before.hint in policy.site.members:
                continue
            with contextlib.suppress(Refused):
                envelope = self._certificates.envelope(certificate) or b""
                found = self._certificates.verified(envelope, policy)
                if found.circumstances.engine in ("", self._engine()):
                    version = before.said.version + 1 if before else 1
                    said = RouteSuspension(found.wanted.route, certificate, reason, version)
                    yield self.read(said.sign(self._key()), policy)


class HostApprovals(Protocol):
    """Approved hosts of upstreams, as `routing.upstreams.service.Upstreams` has them."""

    def given(self) -> Iterable[tuple[UpstreamRecord, bytes, bytes]]:
        """Records of hosts, what was learnt of their answers, and approvals."""
        ...

    def adopt(self, actor: str, record: UpstreamRecord, learnt: bytes, envelope: bytes) -> None:
        """Take one that was given elsewhere. Raises Refused where it cannot hold, or not yet."""
        ...


class SignedHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An approval of a host, and what it is of.

    Attributes:
        learnt: the fingerprint that the record has the digest of, in base64.
        approval: the signed envelope.
    """

    record: UpstreamRecord
    learnt: bytes
    approval: str


class TravellingHosts(_Statements):
    """Approvals of the hosts of upstreams, each with the record that it is of."""

    name = "upstream"

    def __init__(self, store: TravelStore, hosts: HostApprovals) -> None:
        super().__init__(store, self._given)
        self._hosts = hosts

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        """Verify that the approval is of the record, and the record of what was learnt."""
        told = strict_json.decode(envelope, SignedHost, _malformed)
        approval = ApprovalStatement.verify(told.approval.encode(), policy)
        if approval.said.about != UpstreamSubject.of(told.record).named():
            raise _malformed("the approval is of another host")
        if hashlib.sha256(told.learnt).hexdigest() != told.record.fingerprint:
            raise _malformed("something else was learnt of it")
        return self._document(approval.id, envelope)

    def apply(self, document: TravellingDocument, policy: TrustPolicy) -> None:
        told = msgspec.json.decode(document.envelope, type=SignedHost)
        self._hosts.adopt(ACTOR, told.record, told.learnt, told.approval.encode())

    def _given(self) -> Iterable[bytes]:
        told = {
            msgspec.json.encode(SignedHost(record, learnt, approval.decode()))
            for record, learnt, approval in self._hosts.given()
        }
        return sorted(told)


@contextlib.contextmanager
def _once(code: str) -> Iterator[None]:
    """Ignore a refusal with this code."""
    try:
        yield
    except Refused as error:
        if error.code != code:
            raise


def _malformed(problem: str) -> PolicyRefused:
    return PolicyRefused("travelling_malformed", f"Approval of a host: {problem}.")
