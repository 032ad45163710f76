"""What a person specifies of a route's calibration, and what the appliance certifies of it.

Rules:
- A person signs route, dataset and terms before the sealed split is opened; the evidence key signs
  what was found, with the specification inside. Bytes in, verdict out.
- Every number that a decision depends on is an integer, but for the coefficients of the function,
  which are numbers as they are applied.
- A statement that contradicts itself or its specification is refused under any signature.
- A certificate holds for one route by digest, whose stages are named by digest, under one engine.

Source: in-toto Statement v1 in DSSE envelopes, predicate types of our own (docs/routes.md).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from appliance.clock import iso
from appliance.errors import ApplianceError, PolicyRefused
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation, statement
from appliance.trust.statements.statement import PAYLOAD_TYPE

SPECIFICATION: Final = "https://appliance.invalid/route-specification/v1"
CERTIFICATE: Final = "https://appliance.invalid/route-certificate/v1"
MAX_ENVELOPE: Final = 1 << 20
MILLION: Final = 1_000_000
COARSE: Final = 10_000
"""Shares of a sealed split are told to one point, in millionths."""
FEWEST: Final = 50
"""Groups of one size that must weigh as those of a sealed split do."""
ACCEPTED: Final = "accepted"
"""The groups of open items that the first stage may answer, of those that bound a change."""
_DAY_US: Final = 86_400_000_000
_TOLERANCE_US: Final = 300_000_000

_Digest: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
_NoDigest: TypeAlias = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")]
_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
_Text: TypeAlias = Annotated[str, Meta(max_length=500)]
_Share: TypeAlias = Annotated[int, Meta(gt=0, lt=MILLION)]
_Micros: TypeAlias = Annotated[int, Meta(ge=-MILLION, le=MILLION)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 53)]
T = TypeVar("T")


class Specification(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a calibration will do.

    Attributes:
        split: the sealed split that is opened.
        small, larger: the tasks of the first two stages; "" without a second one.
        error_micros: most of the accepted answers that may be wrong, in millionths.
        delta_micros: probability of a wrong certificate over all looks, in millionths.
        margin_micros: how much worse the route may be than its second stage, in millionths.
        seed: chosen at random; draws one item of each group.
        name: the person who signs.
        time: when, ISO 8601 in UTC.
        schedule: the share of delta of each look, in millionths; empty: equal shares.
        weight: of what the error is a share: groups count alike, or answers do; "" before 0.2.0:
            groups.
    """

    route: _Name
    route_digest: _Digest
    dataset: _Name
    dataset_digest: _Digest
    split: Literal["certify", "test"]
    small: _Name
    small_digest: _Digest
    larger: _Text
    larger_digest: _NoDigest
    error_micros: _Share
    delta_micros: Annotated[int, Meta(gt=0, le=MILLION // 5)]
    margin_micros: _Share
    looks: Annotated[int, Meta(ge=1, le=100)]
    seed: Annotated[str, Meta(min_length=8, max_length=128)]
    name: _Name
    time: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    schedule: Annotated[tuple[_Share, ...], Meta(max_length=100)] = ()
    weight: Literal["", "groups", "answers"] = ""

    @property
    def alpha_micros(self) -> int:
        """Delta, by the name that it has in the ledger."""
        return self.delta_micros

    def share(self, number: int) -> float:
        """The share of delta that a look spends, by its number from 1."""
        return self.schedule[number - 1] / MILLION if self.schedule else 1 / self.looks


class Found(Struct, frozen=True, forbid_unknown_fields=True):
    """What a calibration found, coarse where it tells of the sealed split.

    Attributes:
        reason: why nothing is certified; "" where something is.
        threshold_micros: least confidence that is accepted; None where nothing is.
        coverage_micros: share of the groups that it accepts.
        limit_micros: upper limit of the accepted error.
        function: coefficients of the confidence (`routing.confidence`).
        doubtful: who answers what is not accepted: `larger` or `people`.
        low_micros: lower limit of route minus second stage; None without one.
        groups_needed: in all, where nothing is certified and a number is known.
        merkle_root: hex root over the lines of the outcomes.
        reach_micros: share of the groups that the rules of the route let reach the first stage, to
            which all other numbers refer; None where rules were not replayed (before 0.2.0).
        interval: of route minus second stage; "" without one, and before 0.2.0: one pseudo-group a
            side.
        company: whether room was left for other requests in the batch of the first stage.
        thresholds: that were fixed before, in millionths, falling; none before 0.2.0.
        effective: groups of one size that weigh as those of the split do; None before 0.2.0.
        largest: items of the largest group of the split, by which groups were drawn; 0 where groups
            count alike.
        unasked: items that could not be asked for a reason of ours, which count nowhere.
    """

    reason: _Text
    threshold_micros: _Micros | None
    coverage_micros: _Micros
    limit_micros: _Micros
    groups: _Count
    groups_needed: _Count | None
    function: dict[str, Any]
    doubtful: Literal["larger", "people"]
    low_micros: _Micros | None
    merkle_root: _Digest
    reach_micros: _Micros | None = None
    interval: Literal["", "tango"] = ""
    company: bool = False
    thresholds: Annotated[tuple[_Micros, ...], Meta(max_length=100)] = ()
    effective: _Count | None = None
    largest: _Count = 0
    unasked: _Count = 0

    @property
    def certified(self) -> bool:
        """Whether the first stage may answer."""
        return self.threshold_micros is not None


class Circumstances(Struct, frozen=True, forbid_unknown_fields=True):
    """Under which circumstances it was found.

    Attributes:
        engine: name and version of what computed the first stage; "" for a classifier without a
            model.
        identity: what is known of who answered: `attested` where the weights were verified here,
            `claimed` where an engine on another host says it.
        look, log, entry: number of the look, and where the log recorded it.
        replay: hex SHA-256 of what the stages did with open items, which another engine must do
            again; "" for none.
        carried_from: id of the certificate that was carried over to this engine; "" for none.
        unflipped: groups of open items with all of which the other engine did as before: "" in all,
            and those that are `ACCEPTED`; none of a calibration, and of older versions.
    """

    engine: _Text
    identity: Literal["attested", "claimed"]
    look: _Count
    log: _Name
    entry: _Count
    issued_us: _Count
    valid_until_us: _Count
    replay: _NoDigest = ""
    carried_from: _NoDigest = ""
    unflipped: dict[str, _Count] = {}


class _Predicate(Struct, frozen=True, forbid_unknown_fields=True):
    found: Found
    circumstances: Circumstances
    specification: dict[str, Any]


@dataclass(frozen=True)
class Signed:
    """A specification whose signature holds.

    Attributes:
        digest: hex SHA-256 of the signed payload: its id.
    """

    wanted: Specification
    digest: str
    envelope: bytes


@dataclass(frozen=True)
class Certificate:
    """A certificate whose signature holds.

    Attributes:
        id: hex SHA-256 of the signed payload.
        key: hint of the evidence key.
    """

    id: str
    wanted: Specification
    found: Found
    circumstances: Circumstances
    key: str

    @property
    def origin(self) -> str:
        """The id under which it is watched and suspended: of what it was carried over from."""
        return self.circumstances.carried_from or self.id


def specify(wanted: Specification, private_key: bytes) -> bytes:
    """Sign a specification as a DSSE envelope.

    Raises:
        PolicyRefused: `specification_invalid`.
        SignatureRefused: `signature_key_unsupported`.
    """
    subjects = [
        statement.subject(wanted.route, wanted.route_digest),
        statement.subject(wanted.dataset, wanted.dataset_digest),
    ]
    payload = _payload(SPECIFICATION, subjects, msgspec.to_builtins(wanted))
    _specification(payload)
    return dsse.sign(payload, PAYLOAD_TYPE, [ecdsa.load_private(private_key)])


def specified(envelope: bytes, policy: TrustPolicy) -> Signed:
    """Check who signed a specification, and read it.

    Raises:
        PolicyRefused: `specification_invalid`, `specification_signature`, and what
            `TrustPolicy.specifier` raises.
    """
    opened = statement.opened(envelope, MAX_ENVELOPE, _invalid)
    wanted = _specification(opened.payload)
    opened.check(policy.specifier(opened.hint, wanted.name).public, _unsigned)
    return Signed(wanted, opened.digest, envelope)


def unverified(envelope: bytes) -> Specification:
    """What a specification says, its signature unseen: for titles, never for a decision.

    Raises:
        PolicyRefused: `specification_invalid`.
    """
    return _specification(statement.opened(envelope, MAX_ENVELOPE, _invalid).payload)


def certify(
    signed: Signed, found: Found, circumstances: Circumstances, key: ecdsa.PrivateKey
) -> bytes:
    """The signed statement of what a calibration found."""
    wanted = signed.wanted
    at = msgspec.to_builtins(circumstances)
    if not circumstances.unflipped:
        del at["unflipped"]
    predicate = {
        "found": msgspec.to_builtins(found),
        "circumstances": at,
        "specification": json.loads(signed.envelope),
    }
    subjects = [statement.subject(wanted.route, wanted.route_digest)]
    return dsse.sign(_payload(CERTIFICATE, subjects, predicate), PAYLOAD_TYPE, [key])


def rooms(wanted: Specification, found: Found) -> dict[str, int]:
    """The most that an engine may change, in millionths, and what is certified is certified still.

    Of the accepted groups a change adds at most its share to their errors. Of all of them it moves
    the difference between route and second stage by at most twice its share, since it may change
    the answers of both.
    """
    left = {ACCEPTED: wanted.error_micros - found.limit_micros}
    if found.low_micros is not None:
        left[""] = (found.low_micros + wanted.margin_micros - 1) // 2
    return left


def check_changes(certificate: Certificate, unflipped: Mapping[str, int]) -> None:
    """Refuse to carry a certificate over which the other engine may have changed too much.

    Raises:
        PolicyRefused: `route_change_unbounded`.
    """
    for name, room in rooms(certificate.wanted, certificate.found).items():
        groups = unflipped.get(name, 0)
        change = evaluation.change_micros(groups, certificate.wanted.delta_micros)
        if change > room:
            raise _refused(
                "route_change_unbounded",
                f"The same answers to {groups} {name or 'open'} groups of dev bound the change at "
                f"{change / COARSE:.1f} points; {max(0, room) / COARSE:.1f} are left.",
            )


def carry(
    envelope: bytes,
    certificate: Certificate,
    engine: str,
    unflipped: Mapping[str, int],
    now_us: int,
    key: ecdsa.PrivateKey,
) -> bytes:
    """The same certificate for another engine, which did the same with open items.

    Args:
        envelope: the certificate as it was signed.
        engine: name, version and build of the other one.
        unflipped: as in `Circumstances`.
    """
    payload = statement.opened(envelope, MAX_ENVELOPE, _malformed).payload
    _, predicate = statement.parts(payload, CERTIFICATE, MAX_ENVELOPE, _malformed)
    inner = strict_json.dump(_converted(predicate, _Predicate, _malformed).specification)
    other = msgspec.structs.replace(
        certificate.circumstances,
        engine=engine,
        issued_us=now_us,
        carried_from=certificate.origin,
        unflipped=dict(unflipped),
    )
    signed = Signed(certificate.wanted, "", inner)
    return certify(signed, certificate.found, other, key)


def verify(envelope: bytes, policy: TrustPolicy) -> Certificate:
    """Check a certificate's signature under a policy, and that it follows from what it says.

    Raises:
        PolicyRefused: `route_certificate_malformed`, `route_certificate_signature`,
            `route_certificate_inconsistent`; what `TrustPolicy.evaluator` and `specified` raise;
            `digest_revoked`.
    """
    opened = statement.opened(envelope, MAX_ENVELOPE, _malformed)
    opened.check(policy.evaluator(opened.hint).public, _unsigned_certificate)
    subjects, predicate = statement.parts(opened.payload, CERTIFICATE, MAX_ENVELOPE, _malformed)
    told = _converted(predicate, _Predicate, _malformed)
    inner = strict_json.dump(told.specification)
    signed = specified(inner, policy)
    wanted, found, at = signed.wanted, told.found, told.circumstances
    if subjects != [statement.subject(wanted.route, wanted.route_digest)]:
        raise _inconsistent("it is for another route than its specification")
    if found.certified == bool(found.reason):
        raise _inconsistent("it has a threshold and a reason against one")
    if found.certified and not found.limit_micros <= wanted.error_micros:
        raise _inconsistent("it certifies an error above its bound")
    low = found.low_micros
    if found.certified and low is not None and low <= -wanted.margin_micros:
        raise _inconsistent("it certifies a route that is worse by the margin")
    if found.certified and found.thresholds and found.threshold_micros not in found.thresholds:
        raise _inconsistent("its threshold is none of those that were fixed before")
    if found.certified and wanted.weight and (found.effective or 0) < FEWEST:
        raise _inconsistent(f"its groups weigh as fewer than {FEWEST} of one size")
    if at.valid_until_us < at.issued_us or not 1 <= at.look <= wanted.looks:
        raise _inconsistent("its look or its dates cannot be")
    policy.check_digests(
        wanted.route_digest, wanted.dataset_digest, wanted.small_digest, wanted.larger_digest
    )
    policy.check_digests(opened.digest)
    certificate = Certificate(opened.digest, wanted, found, at, opened.hint)
    if at.unflipped and not at.carried_from:
        raise _inconsistent("what did not change is none of a calibration")
    if at.unflipped:
        check_changes(certificate, at.unflipped)
    return certificate


def check_use(
    certificate: Certificate,
    route_digest: str,
    terms: Mapping[str, int],
    engine: str,
    now_us: int,
    grace_days: int,
) -> None:
    """Refuse a certificate that does not let the first stage of this route answer now.

    Args:
        terms: of the route in millionths: `error_micros`, `delta_micros`, `margin_micros`.
        engine: name and version of the one that serves.
        now_us: the latest time that is known.

    Raises:
        PolicyRefused: `route_certificate_other`, `route_not_certified`,
            `route_certificate_expired`.
    """
    wanted, at = certificate.wanted, certificate.circumstances
    if wanted.route_digest != route_digest:
        raise _refused("route_certificate_other", f"It is for the route {wanted.route_digest}.")
    for name, value in terms.items():
        if getattr(wanted, name) > value:
            raise _refused("route_certificate_other", f"Its {name} is {getattr(wanted, name)}.")
    if not certificate.found.certified:
        reason = certificate.found.reason
        raise _refused("route_not_certified", f"Not certifiable: {reason}.")
    if at.engine and at.engine != engine:
        raise _refused("route_certificate_other", f"It is for {at.engine}; {engine} serves.")
    if at.issued_us > now_us + _TOLERANCE_US:
        raise _refused("route_certificate_other", f"It was signed at {iso(at.issued_us)}.")
    if now_us > at.valid_until_us + grace_days * _DAY_US:
        until = iso(at.valid_until_us)
        raise _refused("route_certificate_expired", f"It is valid until {until}.")


def _payload(kind: str, subjects: list[dict[str, Any]], predicate: dict[str, Any]) -> bytes:
    return strict_json.dump(statement.document(subjects, kind, predicate))


def _specification(payload: bytes) -> Specification:
    subjects, predicate = statement.parts(payload, SPECIFICATION, MAX_ENVELOPE, _invalid)
    wanted = _converted(predicate, Specification, _invalid)
    named = [
        statement.subject(wanted.route, wanted.route_digest),
        statement.subject(wanted.dataset, wanted.dataset_digest),
    ]
    if subjects != named:
        raise _invalid("its subjects are not its route and its dataset")
    if bool(wanted.larger) != bool(wanted.larger_digest):
        raise _invalid("the larger stage and its digest go together")
    if wanted.schedule and (len(wanted.schedule) != wanted.looks or sum(wanted.schedule) > MILLION):
        raise _invalid("its schedule spends delta more than once, or not look by look")
    for text in (wanted.route, wanted.dataset, wanted.small, wanted.name, wanted.seed):
        if not text.strip() or not text.isprintable():
            raise _invalid("a name is empty or does not print")
    return wanted


def _converted(value: object, kind: type[T], refuse: strict_json.Refuse) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise refuse(str(error)) from error


def _refused(code: str, message: str) -> PolicyRefused:
    return PolicyRefused(code, message)


def _invalid(problem: str) -> ApplianceError:
    return PolicyRefused("specification_invalid", f"Specification: {problem}.")


def _unsigned(problem: str) -> ApplianceError:
    return PolicyRefused("specification_signature", f"Specification: {problem}.")


def _malformed(problem: str) -> ApplianceError:
    return PolicyRefused("route_certificate_malformed", f"Certificate: {problem}.")


def _unsigned_certificate(problem: str) -> ApplianceError:
    return PolicyRefused("route_certificate_signature", f"Certificate: {problem}.")


def _inconsistent(problem: str) -> ApplianceError:
    return PolicyRefused("route_certificate_inconsistent", f"Certificate: {problem}.")
