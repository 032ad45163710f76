"""A certificate: an appliance's signed statement of a gate's findings. Bytes in, verdict out.

Rules: it carries the specification as a person signed it; every number of the verdict is an
integer; one that contradicts itself or its specification is refused under any signature. It lets a
task be approved until it expires, and serve for the policy's grace after that.

Sources: in-toto Statement v1 in a DSSE envelope, predicate test-result v0.1; the block `evaluation`
has the fields of the proposed predicate eval-result (in-toto/attestation #575) and ours.
"""

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from appliance.clock import iso
from appliance.errors import PolicyRefused
from appliance.facts import TaskFacts
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements.specification import MILLION, UNLABELLED, Specification
from appliance.trust.statements.statement import (
    NamedDigest,
    NoSha256,
    Opened,
    Sha256,
    Statement,
    Time,
    named,
)
from appliance.types import FEWEST_GROUPS, JsonValue

OTHER_ENGINE: Final = "evaluation_other_engine"
COARSE: Final = 10_000
"""Limits of intervals are told outward to one point, in millionths."""
MOST_VALID_US: Final = 366 * 86_400_000_000
MOST_UNASKED: Final = 0.04
"""Share of the items that may be left out: 2 % for each side."""
_TOLERANCE_US: Final = 300_000_000
_DAY_US: Final = 86_400_000_000
Verdict: TypeAlias = Literal["pass", "fail", "underpowered"]
_Result: TypeAlias = Literal["PASSED", "FAILED", "WARNED"]
RESULTS: Final[Mapping[Verdict, _Result]] = {
    "pass": "PASSED", "fail": "FAILED", "underpowered": "WARNED",
}  # fmt: skip
_TESTS: Final[Mapping[Verdict, str]] = {
    "pass": "passedTests", "fail": "failedTests", "underpowered": "warnedTests",
}  # fmt: skip
Range: TypeAlias = tuple[int | None, int | None] | None
"""Least and most groups; None for no number."""
_QUALITY: Final = {"value", "low", "high"}
Counts: TypeAlias = Mapping[str, Annotated[int, Meta(ge=0, le=MILLION)]]


class Pack(Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate model's right answers on a pack of fixed items."""

    right: int
    items: int
    sha256: Sha256

    def verdict(self, floor_micros: int) -> Literal["pass", "fail"]:
        """Compare with the pack's floor; the items are fixed, so no interval is needed."""
        return "pass" if self.right * MILLION >= floor_micros * self.items else "fail"


class GateFound(Struct, frozen=True, rename="camel"):
    """Findings of a gate.

    Attributes:
        verdict: of the comparison, all floors and all packs: each must pass.
        comparison: of the comparison only.
        groups_needed: of an underpowered verdict, how many fresh groups would decide, if known.
        groups_range: its limits; None in older versions.
        agreed: items that needed no label, since both sides answered the same.
        floor_lows: lower limit of each floor's mean, outward to the next point; none of older
            versions.
        quality: `value`, `low` and `high` of the candidate's mean in millionths, as the difference.
            One without it is older, and decided its floors by Wilson's limits as they are.
        difference_micros, low_micros, high_micros: candidate minus incumbent and the limits of its
            interval, outward to the next point.
        floors: the verdict of each floor, by stratum; "" is the whole.
        failures, incumbent_failures: items that each did not answer; they count as wrong.
        merkle_root: hex root over the lines of the outcomes, in the order of the items' ids.
        interval: how it was made; "" is one pseudo-group, of those that name none.
        unasked: items that could not be asked, for no fault of either side, and do not count.
    """

    verdict: Verdict
    comparison: Verdict
    items: int = msgspec.field(name="sampleSize")
    groups: int
    groups_needed: int | None
    difference_micros: int
    low_micros: int
    high_micros: int
    merkle_root: Sha256
    floors: Mapping[str, Verdict] = msgspec.field(default_factory=dict)
    failures: int = 0
    incumbent_failures: int = 0
    packs: Mapping[str, Pack] = msgspec.field(default_factory=dict)
    interval: Literal["", "tango", "two-pseudo-groups"] = ""
    unasked: int = 0
    groups_range: Range = msgspec.field(name="groupsNeededRange", default=None)
    floor_lows: Counts = msgspec.field(name="floorLowsMicros", default_factory=dict)
    agreed: int = 0
    quality: Counts = msgspec.field(name="qualityMicros", default_factory=dict)

    @property
    def doubtful(self) -> bool:
        """True if an older version's intervals decided, which err more often than they say."""
        return not self.interval or bool(self.floors and not self.quality)


class GateCircumstances(Struct, frozen=True, rename="camel"):
    """Circumstances of the findings.

    Attributes:
        engine: name and version.
        template_sha256: of the model's chat template; "" for none.
        look: number of this look at the split.
        log, entry: where the look was recorded.
        replay: hex SHA-256 of the candidate's answers to open items, which another engine must
            repeat; "" for none.
        carried_from: id of the certificate that this one carries over to another engine; "" for one
            that a gate gave.
        unflipped: groups of open items, all of which the other engine answered as before: "" in
            all, and those of each floor's stratum; none of a gate, and of older versions.
    """

    engine: str
    template_sha256: str
    look: int
    log: str
    entry: int
    issued_us: int = msgspec.field(name="issued")
    valid_until_us: int = msgspec.field(name="validUntil")
    replay: NoSha256 = msgspec.field(name="replaySha256", default="")
    carried_from: NoSha256 = ""
    unflipped: Counts = msgspec.field(name="unflippedGroups", default_factory=dict)


class _Terms(Struct, frozen=True, rename="camel"):
    metric: str
    threshold: float
    passed: bool
    margin_micros: int
    alpha_micros: int
    looks: int
    schedule: tuple[int, ...] = ()
    comparator: str = ">"
    assurance_level: str = "self_attested"

    @classmethod
    def of(cls, wanted: Specification, found: GateFound) -> Self:
        margin, passed = wanted.margin_micros, found.verdict == "pass"
        return cls(
            wanted.metric, -margin / MILLION, passed, margin, wanted.alpha_micros, wanted.looks,
            wanted.schedule,
        )  # fmt: skip


class _Test(Struct, frozen=True):
    """The certificate as a test result, for readers of that predicate only."""

    result: _Result
    configuration: tuple[NamedDigest, ...]


class Evaluation(Statement, frozen=True):
    """Statement that an evidence key signs; its repetitions are checked against the specification.

    Attributes:
        envelope: the specification as it was signed.
    """

    KIND: ClassVar = "https://in-toto.io/attestation/test-result/v0.1"
    NOUN: ClassVar = "Certificate"
    LIMIT: ClassVar = 1 << 20
    MALFORMED: ClassVar = "evaluation_malformed"
    UNSIGNED: ClassVar = "evaluation_signature"
    OPTIONAL: ClassVar = frozenset(
        {
            "packs", "interval", "unasked", "groupsNeededRange", "agreed", "floorLowsMicros",
            "qualityMicros", "schedule", "replaySha256", "carriedFrom", "unflippedGroups",
        }
    )  # fmt: skip

    about: tuple[NamedDigest, ...]
    found: GateFound
    circumstances: GateCircumstances
    terms: _Terms
    test: _Test
    specification: Opened[Specification]

    def subjects(self) -> tuple[NamedDigest, ...]:
        return self.about

    def predicate(self) -> dict[str, JsonValue]:
        at, wanted, found = self.circumstances, self.specification.said, self.found
        tests: dict[str, list[str]] = {name: [] for name in _TESTS.values()}
        tests[_TESTS[found.comparison]].append("not_worse")
        for name, verdict in sorted(found.floors.items()):
            tests[_TESTS[verdict]].append(f"floor {name}".strip())
        for name, reached in sorted(pack_verdicts(wanted, found.packs).items()):
            tests[_TESTS[reached]].append(f"pack {name}")
        block: dict[str, JsonValue] = {
            **msgspec.to_builtins(found),
            **msgspec.to_builtins(at),
            **msgspec.to_builtins(self.terms),
            "issued": iso(at.issued_us),
            "validUntil": iso(at.valid_until_us),
            "specification": strict_json.parse(self.specification.envelope, self.malformed),
        }
        told = {n: v for n, v in block.items() if v or n not in self.OPTIONAL}
        return {**msgspec.to_builtins(self.test), **tests, "evaluation": told}

    @classmethod
    def parse(cls, subjects: tuple[NamedDigest, ...], predicate: dict[str, JsonValue]) -> Self:
        block: dict[str, JsonValue] = strict_json.member(
            predicate, "evaluation", dict, cls.malformed
        )
        parts = (GateFound, GateCircumstances, _Terms)
        known = {"specification", *(n for part in parts for n in part.__struct_encode_fields__)}
        strict_json.only(block, known, "evaluation", cls.malformed)
        if missing := known - block.keys() - cls.OPTIONAL:
            raise cls.malformed(f"{min(missing)} is missing")
        inner: dict[str, JsonValue] = strict_json.member(
            block, "specification", dict, cls.malformed
        )
        told = block | {name: cls._moment(block[name]) for name in ("issued", "validUntil")}
        found = cls.converted(told, GateFound)
        for pack in found.packs.values():
            if not 0 <= pack.right <= pack.items or not pack.items:
                raise cls.malformed("a pack has other numbers than a pack can have")
        quality = found.quality
        if quality and (quality.keys() != _QUALITY or quality["low"] > quality["high"]):
            raise cls.malformed("qualityMicros is no value with its limits")
        return cls(
            subjects,
            found,
            cls.converted(told, GateCircumstances),
            cls.converted(told, _Terms),
            cls.converted(predicate, _Test),
            Specification.open(strict_json.dump(inner), cls.malformed),
        )

    @classmethod
    def _moment(cls, value: object) -> int:
        try:
            text = cls.converted(value, Time)
            return int(datetime.datetime.fromisoformat(text).timestamp()) * 1_000_000
        except ValueError:
            raise cls.malformed(f"{value!r:.40} is not like 2026-11-24T16:00:00Z") from None


@dataclass(frozen=True)
class GateCertificate:
    """A certificate whose signature holds.

    Attributes:
        id: hex SHA-256 of the signed payload.
        key: hint of the evidence key.
        specifier: hint of the key that signed the specification.
    """

    id: str
    wanted: Specification
    found: GateFound
    circumstances: GateCircumstances
    key: str
    specifier: str

    @property
    def person(self) -> str:
        return self.wanted.name

    @property
    def doubtful(self) -> bool:
        """True if older intervals decided, or if the change of an engine is not bounded."""
        at = self.circumstances
        return self.found.doubtful or bool(at.carried_from and not at.unflipped)


def sign(
    envelope: bytes,
    wanted: Specification,
    found: GateFound,
    circumstances: GateCircumstances,
    key: ecdsa.PrivateKey,
) -> bytes:
    """The signed statement of a gate's findings; `envelope` is the signed specification."""
    signed = Specification.open(envelope)
    configuration = _configuration(wanted, found, signed.id)
    return Evaluation(
        (named(wanted.task, wanted.task_digest),),
        found,
        circumstances,
        _Terms.of(wanted, found),
        _Test(RESULTS[found.verdict], configuration),
        signed,
    ).sign(key)


def pack_verdicts(
    wanted: Specification, packs: Mapping[str, Pack]
) -> dict[str, Literal["pass", "fail"]]:
    """Each found pack against its floor."""
    return {name: pack.verdict(wanted.packs.get(name, 0)) for name, pack in packs.items()}


def _configuration(
    wanted: Specification, found: GateFound, specification: str
) -> tuple[NamedDigest, ...]:
    told = {
        f"model {wanted.model}": wanted.model_digest,
        f"dataset {wanted.dataset}": wanted.dataset_digest,
        "specification": specification,
        "outcomes": found.merkle_root,
    }
    if wanted.incumbent_digest:
        told[f"incumbent {wanted.incumbent}"] = wanted.incumbent_digest
    told |= {f"pack {name}": pack.sha256 for name, pack in sorted(found.packs.items())}
    return tuple(named(name, digest) for name, digest in told.items())


def change_micros(groups: int, alpha_micros: int) -> int:
    """The most that an engine changes which answered so many groups as before, in millionths.

    The exact upper limit of a share that was seen in none of them (Louis, Am. Stat. 35, 1981): an
    engine that changes more answers all of them as before with less than alpha.
    """
    if not groups:
        return MILLION
    share = -math.expm1(math.log(alpha_micros / MILLION) / groups)
    return math.ceil(share * MILLION)


def rooms(wanted: Specification, found: GateFound) -> dict[str, int]:
    """The most that an engine may change without turning the pass, in millionths by stratum.

    "" is all. A floor of an older certificate, which states no limit of it, leaves nothing.
    """
    of_all = found.low_micros + wanted.margin_micros - 1
    left = {"": of_all, **dict.fromkeys(wanted.floors, 0)}
    for name, low in found.floor_lows.items():
        room = low - wanted.floors[name]
        left[name] = min(of_all, room) if name == "" else room
    if "" in wanted.floors and "" not in found.floor_lows:
        left[""] = 0
    return left


def check_changes(certificate: GateCertificate, unflipped: Mapping[str, int]) -> None:
    """Refuse where the other engine may have turned the pass (`evaluation_change_unbounded`)."""
    alpha = certificate.wanted.alpha_micros
    for name, room in rooms(certificate.wanted, certificate.found).items():
        groups = unflipped.get(name, 0)
        if (change := change_micros(groups, alpha)) > room:
            raise PolicyRefused(
                "evaluation_change_unbounded",
                f"The same answers to {groups} groups of open items{f' of {name}' * bool(name)} "
                f"bound the change at {change / COARSE:.1f} points; {max(0, room) / COARSE:.1f} "
                "are left.",
            )


def carry(
    envelope: bytes,
    certificate: GateCertificate,
    engine: str,
    unflipped: Mapping[str, int],
    now_us: int,
    key: ecdsa.PrivateKey,
) -> bytes:
    """The same certificate for another engine, which gave the same answers to open items."""
    told = Evaluation.open(envelope).said
    at = certificate.circumstances
    first = at.carried_from or certificate.id
    other = replace(at, engine=engine, issued_us=now_us, carried_from=first, unflipped=unflipped)
    return replace(told, circumstances=other).sign(key)


def carries(certificate: GateCertificate, origin: GateCertificate) -> bool:
    """True if a certificate is another one, carried over: the same but for engine and date."""
    at, first = certificate.circumstances, origin.circumstances
    same = (
        replace(at, engine=first.engine, issued_us=first.issued_us, carried_from="", unflipped={})
        == first
    )
    found = (certificate.wanted, certificate.found) == (origin.wanted, origin.found)
    return at.carried_from == origin.id and same and found and not first.carried_from


def verify(envelope: bytes, policy: TrustPolicy) -> GateCertificate:
    """Check a certificate's signature, consistency and specifier under a policy."""
    certificate = read(envelope, policy.evaluator, policy.keys)
    policy.specifier(certificate.specifier, certificate.person)
    wanted = certificate.wanted
    policy.check_digests(
        certificate.id, wanted.task_digest, wanted.dataset_digest, wanted.model_digest
    )
    return certificate


def read(
    envelope: bytes,
    evaluator: Callable[[str], PolicyKey],
    people: Mapping[str, PolicyKey] = MappingProxyType({}),
) -> GateCertificate:
    """Check a certificate's signature, and that it is consistent.

    Args:
        evaluator: the key of an evaluator by its hint, or it raises.
        people: keys by hint; a signer's among them checks the specification's signature.

    Raises:
        PolicyRefused: `evaluation_malformed`, `evaluation_signature`, `evaluation_inconsistent`.
    """
    opened = Evaluation.open(envelope)
    signed = opened.signed_by(evaluator(opened.hint))
    inner, said = signed.said.specification, signed.said
    if inner.hint in people:
        dsse.signers(inner.outer, {inner.hint: people[inner.hint].public}, said.unsigned)
    found = GateCertificate(
        signed.id, inner.said, said.found, said.circumstances, signed.key, inner.hint
    )
    _check(said)
    if said.circumstances.unflipped:
        check_changes(found, said.circumstances.unflipped)
    return found


def check_use(
    certificate: GateCertificate,
    task_digest: str,
    facts: TaskFacts,
    engine: str,
    now_us: int,
    policy: TrustPolicy,
    *,
    new: bool,
) -> None:
    """Refuse a certificate that does not let this task be approved or served now.

    Raises:
        PolicyRefused: `evaluation_other_task`, `evaluation_other_engine`, `evaluation_not_passed`,
            `evaluation_from_future`, `evaluation_expired`.
    """
    wanted, at = certificate.wanted, certificate.circumstances
    if wanted.task_digest != task_digest:
        raise PolicyRefused("evaluation_other_task", f"It is for the task {wanted.task_digest}.")
    for name in ("model", "model_digest", "metric"):
        value = getattr(wanted, name)
        if getattr(facts, name) != value:
            raise PolicyRefused("evaluation_other_task", f"Its {name} is {value[:80]}.")
    check_terms(wanted, facts, "evaluation_other_task")
    if certificate.found.verdict != "pass":
        raise PolicyRefused("evaluation_not_passed", f"Its verdict is {certificate.found.verdict}.")
    if at.engine != engine:
        raise PolicyRefused(OTHER_ENGINE, f"It is for {at.engine}; {engine} serves.")
    if new:
        check_dated(certificate, now_us)
    until = at.valid_until_us + (0 if new else policy.tasks.grace_days * _DAY_US)
    if max(now_us, at.issued_us) > until:
        raise PolicyRefused("evaluation_expired", f"It is valid until {iso(at.valid_until_us)}.")


def check_dated(certificate: GateCertificate, now_us: int) -> None:
    """Refuse a certificate that was signed after now (`evaluation_from_future`)."""
    issued = certificate.circumstances.issued_us
    if issued > now_us + _TOLERANCE_US:
        raise PolicyRefused("evaluation_from_future", f"It was signed at {iso(issued)}.")


def check_terms(wanted: Specification, facts: TaskFacts, code: str) -> None:
    """Refuse terms that are milder than those of the task, with this code."""
    margin, alpha = facts.margin_micros or 0, facts.alpha_micros or 0
    floor = facts.floor_micros or 0
    if wanted.margin_micros > margin or wanted.alpha_micros > alpha:
        raise PolicyRefused(
            code, f"The task's margin is {margin} and its alpha {alpha} millionths."
        )
    if wanted.floors.get("", 0) < floor:
        raise PolicyRefused(code, f"The task's floor is {floor} millionths.")


def _check(said: Evaluation) -> None:
    wanted, found, at = said.specification.said, said.found, said.circumstances
    told = said.terms
    terms = replace(
        _Terms.of(wanted, found), passed=told.passed, assurance_level=told.assurance_level
    )
    agree = {
        "its subject is not the specification's": said.about
        == (named(wanted.task, wanted.task_digest),),
        "its result is not its verdict": said.test.result == RESULTS[found.verdict]
        and told.passed is (found.verdict == "pass"),
        "its terms are not the specification's": told == terms,
        "its floors are not the specification's": found.floors.keys() == wanted.floors.keys()
        and found.packs.keys() == wanted.packs.keys(),
        "its digests are not the specification's": said.test.configuration
        == _configuration(wanted, found, said.specification.id),
        "its look is none of the budget's": 1 <= at.look <= wanted.looks,
        "its numbers do not agree": 1 <= found.groups <= found.items
        and 0 <= found.unasked <= MOST_UNASKED * (found.items + found.unasked)
        and found.low_micros <= found.high_micros,
        "its items have labels": 0 <= found.agreed <= found.items
        and (not found.agreed or wanted.split == UNLABELLED),
        "its floors have no limits": found.floor_lows.keys() in (set(), wanted.floors.keys())
        and all(
            found.floors[name] != "pass" or low > wanted.floors[name] - COARSE
            for name, low in found.floor_lows.items()
        ),
        "what did not change is none of a gate": not at.unflipped or bool(at.carried_from),
        "its dates do not rise": at.issued_us <= at.valid_until_us,
        "it is valid for more than a year": at.valid_until_us - at.issued_us <= MOST_VALID_US,
        "its verdict does not follow from its interval": _follows(wanted, found),
    }
    for problem, holds in agree.items():
        if not holds:
            raise PolicyRefused("evaluation_inconsistent", f"Certificate: {problem}.")


def _follows(wanted: Specification, found: GateFound) -> bool:
    """True if a verdict can come from this interval, which is rounded to the point."""
    counted = {found.comparison, *found.floors.values()}
    all_ = counted | set(pack_verdicts(wanted, found.packs).values())
    together = "fail" if "fail" in all_ else "pass" if all_ == {"pass"} else "underpowered"
    follows = {
        "pass": found.low_micros > -wanted.margin_micros - COARSE,
        "fail": found.high_micros < -wanted.margin_micros + COARSE,
        "underpowered": True,
    }[found.comparison]
    enough = found.groups >= FEWEST_GROUPS or counted == {"underpowered"}
    return enough and follows and found.verdict == together
