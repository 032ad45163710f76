"""A person's specification of a route's calibration, and the appliance's certificate.

Rules: a person signs route, dataset and terms before the sealed split is opened; the evidence key
signs the findings, with the specification inside. Numbers that a decision depends on are integers,
but for the coefficients of the function. A statement that contradicts itself or its specification
is refused under any signature.

Source: in-toto Statement v1 in DSSE envelopes, predicate types of our own (docs/routes.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from appliance.clock import iso
from appliance.errors import PolicyRefused
from appliance.trust.bytes import ecdsa, strict_json
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements import evaluation
from appliance.trust.statements.specification import MILLION, Share
from appliance.trust.statements.statement import (
    NoSha256,
    Sha256,
    Signed,
    Statement,
    Time,
    Unnamed,
    named,
)
from appliance.types import JsonValue

COARSE: Final = 10_000
"""Shares of a sealed split are told to one point, in millionths."""
FEWEST: Final = 50
"""Groups of one size that must weigh as those of a sealed split do."""
ACCEPTED: Final = "accepted"
"""The groups of open items that the first stage may answer, of those that bound a change."""
_DAY_US: Final = 86_400_000_000
_TOLERANCE_US: Final = 300_000_000

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
_Text: TypeAlias = Annotated[str, Meta(max_length=500)]
_Micros: TypeAlias = Annotated[int, Meta(ge=-MILLION, le=MILLION)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 53)]


class RouteSpecification(Statement, frozen=True):
    """Specification of a calibration.

    Attributes:
        split: the sealed split that is opened.
        small, larger: the tasks of the first two stages; "" without a second one.
        error_micros: most of the accepted answers that may be wrong, in millionths.
        delta_micros: probability of a wrong certificate over all looks, in millionths.
        margin_micros: how much worse the route may be than its second stage, in millionths.
        seed: chosen at random; draws one item of each group.
        schedule: the share of delta of each look, in millionths; empty: equal shares.
        weight: of what the error is a share: groups count alike, or answers do; "" before 0.2.0:
            groups.
    """

    KIND: ClassVar = "https://appliance.invalid/route-specification/v1"
    NOUN: ClassVar = "Specification"
    LIMIT: ClassVar = 1 << 20
    MALFORMED: ClassVar = "specification_invalid"
    UNSIGNED: ClassVar = "specification_signature"
    SUBJECTS: ClassVar = (("route", "route_digest"), ("dataset", "dataset_digest"))
    OPTIONAL: ClassVar = frozenset({"schedule", "weight"})

    route: _Name
    route_digest: Sha256
    dataset: _Name
    dataset_digest: Sha256
    split: Literal["certify", "test"]
    small: _Name
    small_digest: Sha256
    larger: _Text
    larger_digest: NoSha256
    error_micros: Share
    delta_micros: Annotated[int, Meta(gt=0, le=MILLION // 5)]
    margin_micros: Share
    looks: Annotated[int, Meta(ge=1, le=100)]
    seed: Annotated[str, Meta(min_length=8, max_length=128)]
    name: _Name
    time: Time
    schedule: Annotated[tuple[Share, ...], Meta(max_length=100)] = ()
    weight: Literal["", "groups", "answers"] = ""

    @property
    def alpha_micros(self) -> int:
        """Delta, by its name in the ledger."""
        return self.delta_micros

    def share(self, number: int) -> float:
        """The share of delta that a look spends, by its number from 1."""
        return self.schedule[number - 1] / MILLION if self.schedule else 1 / self.looks

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        return policy.specifier(hint, self.name)

    def check(self) -> None:
        """Check that a second stage has a digest, delta is spent once, and names print."""
        if bool(self.larger) != bool(self.larger_digest):
            raise self.malformed("the larger stage and its digest go together")
        if self.schedule and (len(self.schedule) != self.looks or sum(self.schedule) > MILLION):
            raise self.malformed("its schedule spends delta more than once, or not look by look")
        for text in (self.route, self.dataset, self.small, self.name, self.seed):
            if not text.strip() or not text.isprintable():
                raise self.malformed("a name is empty or does not print")


class CalibrationFound(Struct, frozen=True, forbid_unknown_fields=True):
    """Findings of a calibration, coarse about the sealed split.

    Attributes:
        reason: why nothing is certified; "" where something is.
        threshold_micros: least accepted confidence; None where nothing is.
        coverage_micros: share of the groups that it accepts.
        limit_micros: upper limit of the accepted error.
        function: coefficients of the confidence (`routing.confidence`).
        doubtful: who answers what is not accepted: `larger` or `people`.
        low_micros: lower limit of route minus second stage; None without one.
        groups_needed: in all, where nothing is certified and a number is known.
        merkle_root: hex root over the lines of the outcomes.
        reach_micros: share of the groups that the route's rules let reach the first stage, to
            which all other numbers refer; None where rules were not replayed (before 0.2.0).
        interval: of route minus second stage; "" without one, and before 0.2.0: one pseudo-group a
            side.
        company: whether room was left for other requests in the batch of the first stage.
        thresholds: fixed before, in millionths, falling; none before 0.2.0.
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
    merkle_root: Sha256
    reach_micros: _Micros | None = None
    interval: Literal["", "tango"] = ""
    company: bool = False
    thresholds: Annotated[tuple[_Micros, ...], Meta(max_length=100)] = ()
    effective: _Count | None = None
    largest: _Count = 0
    unasked: _Count = 0

    @property
    def certified(self) -> bool:
        """True if the first stage may answer."""
        return self.threshold_micros is not None


class Circumstances(Struct, frozen=True, forbid_unknown_fields=True):
    """Circumstances of the findings.

    Attributes:
        engine: name and version of what computed the first stage; "" for a classifier without a
            model.
        identity: `attested` where weights were verified here, `claimed` by an engine on another
            host.
        look, log, entry: number of the look, and where the log recorded it.
        replay: hex SHA-256 of the stages' answers to open items, which another engine must repeat;
            "" for none.
        carried_from: id of the certificate carried over to this engine; "" for none.
        unflipped: groups of open items with all of which the other engine did as before: "" in all,
            and those that are `ACCEPTED`; none of a calibration, and of older versions.
        accepted: groups of open items that each threshold accepts, from the first on to the
            certificate's, by which that one was chosen; none where it is the calibration's own.
    """

    engine: _Text
    identity: Literal["attested", "claimed"]
    look: _Count
    log: _Name
    entry: _Count
    issued_us: _Count
    valid_until_us: _Count
    replay: NoSha256 = ""
    carried_from: NoSha256 = ""
    unflipped: dict[str, _Count] = {}
    accepted: Annotated[tuple[_Count, ...], Meta(max_length=100)] = ()


class Calibrated(Unnamed, frozen=True):
    """Statement that an evidence key signs."""

    KIND: ClassVar = "https://appliance.invalid/route-certificate/v1"
    NOUN: ClassVar = "Certificate"
    LIMIT: ClassVar = 1 << 20
    MALFORMED: ClassVar = "route_certificate_malformed"
    UNSIGNED: ClassVar = "route_certificate_signature"

    found: CalibrationFound
    circumstances: Circumstances
    specification: dict[str, Any]

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        return policy.evaluator(hint)

    def predicate(self) -> dict[str, JsonValue]:
        """Unchanged parts are stated for carried-over ones only."""
        at: dict[str, JsonValue] = msgspec.to_builtins(self.circumstances)
        told = {n: v for n, v in at.items() if v or n not in ("unflipped", "accepted")}
        return super().predicate() | {"circumstances": told}


@dataclass(frozen=True)
class RouteCertificate:
    """A certificate whose signature holds.

    Attributes:
        id: hex SHA-256 of the signed payload.
        key: hint of the evidence key.
    """

    id: str
    wanted: RouteSpecification
    found: CalibrationFound
    circumstances: Circumstances
    key: str

    @property
    def origin(self) -> str:
        """The id that is watched and suspended: of the certificate it was carried over from."""
        return self.circumstances.carried_from or self.id

    @property
    def doubtful(self) -> bool:
        """True if it was carried over, and the change of the engine is not bounded."""
        at = self.circumstances
        return bool(at.carried_from and not at.unflipped)


def certify(
    signed: Signed[RouteSpecification],
    found: CalibrationFound,
    circumstances: Circumstances,
    key: ecdsa.PrivateKey,
) -> bytes:
    """The signed statement of a calibration's findings."""
    wanted = signed.said
    inner = strict_json.parse(signed.envelope, Calibrated.malformed)
    about = (named(wanted.route, wanted.route_digest),)
    terms = Calibrated.converted(inner, dict[str, Any])
    return Calibrated(about, found, circumstances, terms).sign(key)


def rooms(wanted: RouteSpecification, found: CalibrationFound) -> dict[str, int]:
    """The most that an engine may change, in millionths, without voiding what is certified.

    A change adds at most its share of the accepted groups to their errors. It moves the difference
    between route and second stage by at most twice its share of all groups, since it may change
    the answers of both.
    """
    left = {ACCEPTED: wanted.error_micros - found.limit_micros}
    if found.low_micros is not None:
        left[""] = (found.low_micros + wanted.margin_micros - 1) // 2
    return left


def check_changes(certificate: RouteCertificate, unflipped: Mapping[str, int]) -> None:
    """Refuse where the other engine may have changed too much (`route_change_unbounded`)."""
    for name, room in rooms(certificate.wanted, certificate.found).items():
        groups = unflipped.get(name, 0)
        change = evaluation.change_micros(groups, certificate.wanted.delta_micros)
        if change > room:
            raise PolicyRefused(
                "route_change_unbounded",
                f"The same answers to {groups} {name or 'open'} groups of dev bound the change at "
                f"{change / COARSE:.1f} points; {max(0, room) / COARSE:.1f} are left.",
            )


def carry(
    envelope: bytes,
    certificate: RouteCertificate,
    engine: str,
    unflipped: Mapping[str, int],
    now_us: int,
    key: ecdsa.PrivateKey,
    accepted: tuple[int, ...] = (),
) -> bytes:
    """The same certificate for another engine, which did the same with open items.

    Args:
        certificate: the same, with the threshold that bears the change.
        unflipped, accepted: as in `Circumstances`.
    """
    other = msgspec.structs.replace(
        certificate.circumstances,
        engine=engine,
        issued_us=now_us,
        carried_from=certificate.origin,
        unflipped=dict(unflipped),
        accepted=accepted,
    )
    told = Calibrated.open(envelope).said
    return msgspec.structs.replace(told, found=certificate.found, circumstances=other).sign(key)


def verify(envelope: bytes, policy: TrustPolicy) -> RouteCertificate:
    """Check a certificate's signature under a policy, and that it is consistent."""
    found = read(envelope, policy.evaluator)
    inner = Calibrated.open(envelope).said.specification
    wanted = RouteSpecification.verify(strict_json.dump(inner), policy).said
    policy.check_digests(
        wanted.route_digest, wanted.dataset_digest, wanted.small_digest, wanted.larger_digest
    )
    policy.check_digests(found.id)
    return found


def read(envelope: bytes, evaluator: Callable[[str], PolicyKey]) -> RouteCertificate:
    """Check a certificate's signature, and that it is consistent; its specification's signer is
    unchecked.

    Args:
        evaluator: the key of an evaluator by its hint, or it raises.

    Raises:
        PolicyRefused: `route_certificate_malformed`, `route_certificate_signature`,
            `route_certificate_inconsistent`, `route_change_unbounded`.
    """
    opened = Calibrated.open(envelope)
    signed = opened.signed_by(evaluator(opened.hint))
    told = signed.said
    wanted = RouteSpecification.open(strict_json.dump(told.specification)).said
    _check(told, wanted)
    certificate = RouteCertificate(signed.id, wanted, told.found, told.circumstances, signed.key)
    if told.circumstances.unflipped:
        check_changes(certificate, told.circumstances.unflipped)
    return certificate


def _check(told: Calibrated, wanted: RouteSpecification) -> None:
    found, at, low = told.found, told.circumstances, told.found.low_micros
    none = not found.certified
    agree = {
        "it is for another route than its specification": told.about
        == (named(wanted.route, wanted.route_digest),),
        "it has a threshold and a reason against one": none == bool(found.reason),
        "it certifies an error above its bound": none or found.limit_micros <= wanted.error_micros,
        "it certifies a route that is worse by the margin": none
        or low is None
        or low > -wanted.margin_micros,
        "its threshold is none of those that were fixed before": none
        or not found.thresholds
        or found.threshold_micros in found.thresholds,
        f"its groups weigh as fewer than {FEWEST} of one size": none
        or not wanted.weight
        or (found.effective or 0) >= FEWEST,
        "what did not change is none of a calibration": not at.unflipped or bool(at.carried_from),
        "its threshold is none that bears the change": not at.accepted
        or (
            found.thresholds[len(at.accepted) - 1 :][:1] == (found.threshold_micros,)
            and [*at.accepted] == sorted(at.accepted)
            and at.accepted[-1] == at.unflipped.get(ACCEPTED)
        ),
        "its look or its dates cannot be": at.valid_until_us >= at.issued_us
        and 1 <= at.look <= wanted.looks,
    }
    for problem, holds in agree.items():
        if not holds:
            raise PolicyRefused("route_certificate_inconsistent", f"Certificate: {problem}.")


def check_use(
    certificate: RouteCertificate,
    route_digest: str,
    terms: Mapping[str, int],
    engine: str,
    now_us: int,
    grace_days: int,
) -> None:
    """Refuse a certificate that does not let the first stage of this route answer now.

    Args:
        terms: of the route in millionths: `error_micros`, `delta_micros`, `margin_micros`.

    Raises:
        PolicyRefused: `route_certificate_other`, `route_not_certified`,
            `route_certificate_expired`.
    """
    wanted, at = certificate.wanted, certificate.circumstances
    if wanted.route_digest != route_digest:
        raise PolicyRefused(
            "route_certificate_other", f"It is for the route {wanted.route_digest}."
        )
    for name, value in terms.items():
        if getattr(wanted, name) > value:
            raise PolicyRefused(
                "route_certificate_other", f"Its {name} is {getattr(wanted, name)}."
            )
    if not certificate.found.certified:
        reason = certificate.found.reason
        raise PolicyRefused("route_not_certified", f"Not certifiable: {reason}.")
    if at.engine and at.engine != engine:
        raise PolicyRefused("route_certificate_other", f"It is for {at.engine}; {engine} serves.")
    if at.issued_us > now_us + _TOLERANCE_US:
        raise PolicyRefused("route_certificate_other", f"It was signed at {iso(at.issued_us)}.")
    if now_us > at.valid_until_us + grace_days * _DAY_US:
        until = iso(at.valid_until_us)
        raise PolicyRefused("route_certificate_expired", f"It is valid until {until}.")
