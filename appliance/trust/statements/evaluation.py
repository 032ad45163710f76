"""A certificate: an appliance's signed statement of what a gate found. Bytes in, verdict out.

Rules:
- It names task, model, dataset, specification, engine and outcomes by digest, and carries the
  specification as a person signed it; every number of the verdict is an integer.
- A statement that contradicts itself or its specification is refused under any signature.
- It lets a task be approved until it expires, and serve for the policy's grace after that. The
  time is never taken to be before what was recorded.

Sources: in-toto Statement v1 in a DSSE envelope, predicate test-result v0.1; the block `evaluation`
has the fields of the proposed predicate eval-result (in-toto/attestation #575) and ours.
"""

import datetime
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from appliance.clock import iso
from appliance.errors import ApplianceError, PolicyRefused
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements import specification, statement
from appliance.trust.statements.specification import Specification
from appliance.trust.statements.statement import HEX, PAYLOAD_TYPE, TIME
from appliance.types import FEWEST_GROUPS

PREDICATE_TYPE: Final = "https://in-toto.io/attestation/test-result/v0.1"
MAX_ENVELOPE: Final = 1 << 20
OTHER_ENGINE: Final = "evaluation_other_engine"
COARSE: Final = 10_000
"""Limits of intervals are told outward to one point, in millionths."""
RESULTS: Final[Mapping[str, str]] = {"pass": "PASSED", "fail": "FAILED", "underpowered": "WARNED"}
_TESTS: Final[Mapping[str, str]] = {
    "pass": "passedTests", "fail": "failedTests", "underpowered": "warnedTests",
}  # fmt: skip
MOST_VALID_US: Final = 366 * 86_400_000_000
_TOLERANCE_US: Final = 300_000_000
_DAY_US: Final = 86_400_000_000
_NUMBERS: Final = (
    "sampleSize", "groups", "differenceMicros", "lowMicros", "highMicros", "look", "looks",
    "marginMicros", "alphaMicros", "entry", "failures", "incumbentFailures",
)  # fmt: skip
_WORDS: Final = (
    "metric", "comparator", "assuranceLevel", "verdict", "comparison", "merkleRoot", "engine",
    "log", "issued", "validUntil", "templateSha256",
)  # fmt: skip
_OTHER: Final = ("threshold", "passed", "groupsNeeded", "floors", "specification")
_OPTIONAL: Final = ("replaySha256", "carriedFrom")
_PACKS: Final = "packs"
_INTERVAL: Final = "interval"
INTERVALS: Final = ("", "tango", "two-pseudo-groups")
"""How the interval of the comparison was made; "" is one pseudo-group, of those that name none."""
_SCHEDULE: Final = "schedule"
_UNASKED: Final = "unasked"
_RANGE: Final = "groupsNeededRange"
Range: TypeAlias = tuple[int | None, int | None] | None
"""Least and most groups; None for no number."""
_LOWS: Final = "floorLowsMicros"
_UNFLIPPED: Final = "unflippedGroups"
_AGREED: Final = "agreed"
_QUALITY: Final = "qualityMicros"
_MORE: Final = (
    _PACKS, _INTERVAL, _SCHEDULE, _UNASKED, _RANGE, _LOWS, _UNFLIPPED, _AGREED, _QUALITY,
)  # fmt: skip
MOST_UNASKED: Final = 0.04
"""Share of the items that may be left out: 2 % for each side."""


@dataclass(frozen=True)
class Pack:
    """What the candidate's model did on a pack of items that do not change.

    Attributes:
        right: items that it got right.
        sha256: of the pack's file.
    """

    right: int
    items: int
    sha256: str

    def verdict(self, floor_micros: int) -> Literal["pass", "fail"]:
        """Whether the floor is reached; the items are fixed, so that no interval is needed."""
        reached = self.right * specification.MILLION >= floor_micros * self.items
        return "pass" if reached else "fail"


@dataclass(frozen=True)
class Found:
    """What a gate found.

    Attributes:
        verdict: of the comparison, all floors and all packs: each must pass.
        comparison: of the comparison alone.
        groups_needed: of an underpowered verdict, how many fresh groups would tell; None: no number
            is known.
        groups_range: between how many that lies; None where older versions told none.
        agreed: items whose label nobody was asked for, since both sides answered the same.
        floor_lows: lower limit of each floor's mean, outward to the next point; none of older
            versions.
        quality: `value`, `low` and `high` of the candidate's mean in millionths, as the difference
            is told. One without it is older, and decided its floors by Wilson's limits as they are.
        difference_micros: candidate minus incumbent, to the next point.
        low_micros, high_micros: limits of its interval, outward to the next point.
        floors: the verdict of each floor, by stratum; "" is the whole.
        packs: what was found on each pack that the specification names.
        failures, incumbent_failures: items that each gave no answer to; they count as wrong.
        merkle_root: hex root over the lines of the outcomes, in the order of the items' ids.
        interval: one of `INTERVALS`.
        unasked: items that could not be asked, for no fault of either side, and do not count.
    """

    verdict: str
    comparison: str
    items: int
    groups: int
    groups_needed: int | None
    difference_micros: int
    low_micros: int
    high_micros: int
    merkle_root: str
    floors: Mapping[str, str] = field(default_factory=dict)
    failures: int = 0
    incumbent_failures: int = 0
    packs: Mapping[str, Pack] = field(default_factory=dict)
    interval: str = ""
    unasked: int = 0
    groups_range: Range = None
    floor_lows: Mapping[str, int] = field(default_factory=dict)
    agreed: int = 0
    quality: Mapping[str, int] = field(default_factory=dict)

    @property
    def doubtful(self) -> bool:
        """True where an older version's intervals decided, which err more often than they say."""
        return not self.interval or bool(self.floors and not self.quality)


@dataclass(frozen=True)
class Circumstances:
    """Under which circumstances it was found.

    Attributes:
        engine: name and version.
        template_sha256: of the model's chat template; "" for none.
        look: number of this look at the split.
        log, entry: the audit log that recorded the look, and where.
        replay: hex SHA-256 of the candidate's answers to open items, which another engine must
            give again; "" for none.
        carried_from: id of the certificate that this one carries over to another engine; "" for
            one that a gate gave.
        unflipped: groups of open items, all of which the other engine answered as before: "" in
            all, and those of each floor's stratum; none of a gate, and of older versions.
    """

    engine: str
    template_sha256: str
    look: int
    log: str
    entry: int
    issued_us: int
    valid_until_us: int
    replay: str = ""
    carried_from: str = ""
    unflipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Certificate:
    """A certificate whose signature holds.

    Attributes:
        id: hex SHA-256 of the signed payload.
        key: hint of the evidence key.
        specifier: hint of the key that signed the specification.
        person: who signed the specification.
    """

    id: str
    wanted: Specification
    found: Found
    circumstances: Circumstances
    key: str
    specifier: str

    @property
    def person(self) -> str:
        """Who signed the specification."""
        return self.wanted.name


def sign(
    envelope: bytes,
    wanted: Specification,
    found: Found,
    circumstances: Circumstances,
    key: ecdsa.PrivateKey,
) -> bytes:
    """The signed statement of what a gate found.

    Args:
        envelope: the specification as it was signed.
    """
    c = circumstances
    payload = dsse.parse(envelope, PAYLOAD_TYPE, _malformed).payload
    tests: dict[str, list[str]] = {name: [] for name in _TESTS.values()}
    tests[_TESTS[found.comparison]].append("not_worse")
    for name, verdict in sorted(found.floors.items()):
        tests[_TESTS[verdict]].append(f"floor {name}".strip())
    for name, verdict in sorted(pack_verdicts(wanted, found.packs).items()):
        tests[_TESTS[verdict]].append(f"pack {name}")
    subjects = [statement.subject(wanted.task, wanted.task_digest)]
    made = statement.document(
        subjects,
        PREDICATE_TYPE,
        {
            "result": RESULTS[found.verdict],
            "configuration": _configuration(wanted, found, hashlib.sha256(payload).hexdigest()),
            **tests,
            "evaluation": {
                "metric": wanted.metric,
                "comparator": ">",
                "threshold": -wanted.margin_micros / specification.MILLION,
                "passed": found.verdict == "pass",
                "sampleSize": found.items,
                "assuranceLevel": "self_attested",
                "verdict": found.verdict,
                "comparison": found.comparison,
                "groups": found.groups,
                "groupsNeeded": found.groups_needed,
                "differenceMicros": found.difference_micros,
                "lowMicros": found.low_micros,
                "highMicros": found.high_micros,
                "marginMicros": wanted.margin_micros,
                "alphaMicros": wanted.alpha_micros,
                "look": c.look,
                "looks": wanted.looks,
                "log": c.log,
                "entry": c.entry,
                "floors": dict(found.floors),
                "failures": found.failures,
                "incumbentFailures": found.incumbent_failures,
                "merkleRoot": found.merkle_root,
                "engine": c.engine,
                "templateSha256": c.template_sha256,
                "issued": iso(c.issued_us),
                "validUntil": iso(c.valid_until_us),
                "specification": strict_json.parse(envelope, _malformed),
                **({"replaySha256": c.replay} if c.replay else {}),
                **({"carriedFrom": c.carried_from} if c.carried_from else {}),
                **({_PACKS: {n: asdict(p) for n, p in found.packs.items()}} if found.packs else {}),
                **({_INTERVAL: found.interval} if found.interval else {}),
                **({_UNASKED: found.unasked} if found.unasked else {}),
                **({_RANGE: list(found.groups_range)} if found.groups_range else {}),
                **({_AGREED: found.agreed} if found.agreed else {}),
                **({_LOWS: dict(found.floor_lows)} if found.floor_lows else {}),
                **({_QUALITY: dict(found.quality)} if found.quality else {}),
                **({_UNFLIPPED: dict(c.unflipped)} if c.unflipped else {}),
                **({_SCHEDULE: list(wanted.schedule)} if wanted.schedule else {}),
            },
        },
    )
    return dsse.sign(strict_json.dump(made), PAYLOAD_TYPE, [key])


def pack_verdicts(
    wanted: Specification, packs: Mapping[str, Pack]
) -> dict[str, Literal["pass", "fail"]]:
    """Whether each pack that was found reaches its floor."""
    return {name: pack.verdict(wanted.packs.get(name, 0)) for name, pack in packs.items()}


def _configuration(
    wanted: Specification, found: Found, specification_digest: str
) -> list[dict[str, Any]]:
    """What was measured, by digest."""
    named = {
        f"model {wanted.model}": wanted.model_digest,
        f"dataset {wanted.dataset}": wanted.dataset_digest,
        "specification": specification_digest,
        "outcomes": found.merkle_root,
    }
    if wanted.incumbent_digest:
        named[f"incumbent {wanted.incumbent}"] = wanted.incumbent_digest
    named |= {f"pack {name}": pack.sha256 for name, pack in sorted(found.packs.items())}
    return [statement.subject(name, digest) for name, digest in named.items()]


def change_micros(groups: int, alpha_micros: int) -> int:
    """The most that an engine changes which answered so many groups as before, in millionths.

    The exact upper limit of a share that was seen in none of them (Louis, Am. Stat. 35, 1981): an
    engine that changes more answers all of them as before with less than alpha.
    """
    if not groups:
        return specification.MILLION
    share = -math.expm1(math.log(alpha_micros / specification.MILLION) / groups)
    return math.ceil(share * specification.MILLION)


def rooms(wanted: Specification, found: Found) -> dict[str, int]:
    """The most that an engine may change of the whole, and of each floor's stratum, in millionths.

    So much, and a pass is one still. A floor of an older certificate, which tells no limit of it,
    leaves nothing.
    """
    of_all = found.low_micros + wanted.margin_micros - 1
    left = {"": of_all, **dict.fromkeys(wanted.floors, 0)}
    for name, low in found.floor_lows.items():
        room = low - wanted.floors[name]
        left[name] = min(of_all, room) if name == "" else room
    if "" in wanted.floors and "" not in found.floor_lows:
        left[""] = 0
    return left


def check_changes(certificate: Certificate, unflipped: Mapping[str, int]) -> None:
    """Refuse to carry a pass over which the other engine may have changed too much.

    Raises:
        PolicyRefused: `evaluation_change_unbounded`.
    """
    alpha = certificate.wanted.alpha_micros
    for name, room in rooms(certificate.wanted, certificate.found).items():
        groups = unflipped.get(name, 0)
        if (change := change_micros(groups, alpha)) > room:
            raise _refused(
                "evaluation_change_unbounded",
                f"The same answers to {groups} groups of open items{f' of {name}' * bool(name)} "
                f"bound the change at {change / COARSE:.1f} points; {max(0, room) / COARSE:.1f} "
                "are left.",
            )


def carry(
    envelope: bytes,
    certificate: Certificate,
    engine: str,
    unflipped: Mapping[str, int],
    now_us: int,
    key: ecdsa.PrivateKey,
) -> bytes:
    """The same certificate for another engine, which gave the same answers to open items.

    Args:
        envelope: the certificate as it was signed.
        engine: name and version of the other one.
        unflipped: as in `Circumstances`.
    """
    payload = statement.opened(envelope, MAX_ENVELOPE, _malformed).payload
    _, predicate = statement.parts(payload, PREDICATE_TYPE, MAX_ENVELOPE, _malformed)
    block: dict[str, Any] = strict_json.member(predicate, "evaluation", dict, _malformed)
    at = certificate.circumstances
    first = at.carried_from or certificate.id
    other = replace(at, engine=engine, issued_us=now_us, carried_from=first, unflipped=unflipped)
    terms = strict_json.dump(block["specification"])
    return sign(terms, certificate.wanted, certificate.found, other, key)


def carries(certificate: Certificate, origin: Certificate) -> bool:
    """Whether a certificate is another one, carried over: the same but for engine and date."""
    at, first = certificate.circumstances, origin.circumstances
    same = (
        replace(at, engine=first.engine, issued_us=first.issued_us, carried_from="", unflipped={})
        == first
    )
    found = (certificate.wanted, certificate.found) == (origin.wanted, origin.found)
    return at.carried_from == origin.id and same and found and not first.carried_from


def verify(envelope: bytes, policy: TrustPolicy) -> Certificate:
    """Check a certificate's signature under a policy, and that it follows from what it says.

    The specification inside must be signed by one who may specify, under that person's own name.

    Raises:
        PolicyRefused: what `read` raises; what `TrustPolicy.evaluator` and `TrustPolicy.specifier`
            raise; `digest_revoked`.
    """
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
) -> Certificate:
    """Check a certificate's signature, and that it follows from what it says.

    Args:
        evaluator: the key of an evaluator by its hint, or it raises.
        people: keys by hint; the specification's signature is checked where its signer is one.

    Raises:
        PolicyRefused: `evaluation_malformed`, `evaluation_signature`, `evaluation_inconsistent`;
            what `evaluator` raises.
    """
    opened = statement.opened(envelope, MAX_ENVELOPE, _malformed)
    opened.check(evaluator(opened.hint).public, _unsigned)
    return _read(opened, people)


def check_use(
    certificate: Certificate,
    task_digest: str,
    facts: Mapping[str, Any],
    engine: str,
    now_us: int,
    policy: TrustPolicy,
    *,
    new: bool,
) -> None:
    """Refuse a certificate that does not let this task be approved or served now.

    Args:
        facts: what the record of the task says: `model`, `model_digest`, `metric`, and the terms
            of its gate in millionths.
        engine: name and version of the one that serves.
        now_us: the latest time that is known, microseconds since the epoch.
        new: it is to be approved; else it serves.

    Raises:
        PolicyRefused: `evaluation_other_task`, `evaluation_other_engine`,
            `evaluation_not_passed`, `evaluation_from_future`, `evaluation_expired`.
    """
    wanted, at = certificate.wanted, certificate.circumstances
    if wanted.task_digest != task_digest:
        raise _refused("evaluation_other_task", f"It is for the task {wanted.task_digest}.")
    told = {"model": wanted.model, "model_digest": wanted.model_digest, "metric": wanted.metric}
    for name, value in told.items():
        if facts.get(name) != value:
            raise _refused("evaluation_other_task", f"Its {name} is {value[:80]}.")
    check_terms(wanted, facts, "evaluation_other_task")
    if certificate.found.verdict != "pass":
        raise _refused("evaluation_not_passed", f"Its verdict is {certificate.found.verdict}.")
    if at.engine != engine:
        raise _refused(OTHER_ENGINE, f"It is for {at.engine}; {engine} serves.")
    if new:
        check_dated(certificate, now_us)
    until = at.valid_until_us + (0 if new else policy.tasks.grace_days * _DAY_US)
    if max(now_us, at.issued_us) > until:
        raise _refused("evaluation_expired", f"It is valid until {iso(at.valid_until_us)}.")


def check_dated(certificate: Certificate, now_us: int) -> None:
    """Refuse a certificate that was signed after now. Raises PolicyRefused."""
    issued = certificate.circumstances.issued_us
    if issued > now_us + _TOLERANCE_US:
        raise _refused("evaluation_from_future", f"It was signed at {iso(issued)}.")


def check_terms(wanted: Specification, facts: Mapping[str, Any], code: str) -> None:
    """Refuse terms that are milder than those of the task.

    Raises:
        PolicyRefused: with this code.
    """
    margin, alpha = int(facts.get("margin_micros", 0)), int(facts.get("alpha_micros", 0))
    floor = int(facts.get("floor_micros", 0))
    if wanted.margin_micros > margin or wanted.alpha_micros > alpha:
        raise _refused(code, f"The task's margin is {margin} and its alpha {alpha} millionths.")
    if wanted.floors.get("", 0) < floor:
        raise _refused(code, f"The task's floor is {floor} millionths.")


def _read(opened: statement.Opened, people: Mapping[str, PolicyKey]) -> Certificate:
    refuse = _malformed
    subjects, predicate = statement.parts(opened.payload, PREDICATE_TYPE, MAX_ENVELOPE, refuse)
    block: dict[str, Any] = strict_json.member(predicate, "evaluation", dict, refuse)
    known = {*_NUMBERS, *_WORDS, *_OTHER, *_OPTIONAL, *_MORE}
    strict_json.only(block, known, "evaluation", refuse)
    n = {name: strict_json.member(block, name, int, refuse) for name in _NUMBERS}
    w = {name: strict_json.member(block, name, str, refuse) for name in _WORDS}
    floors: dict[str, Any] = strict_json.member(block, "floors", dict, refuse)
    needed = block.get("groupsNeeded")
    if needed is not None and type(needed) is not int:
        raise refuse("groupsNeeded is no number")
    if any(v not in RESULTS for v in (w["verdict"], w["comparison"], *floors.values())):
        raise refuse("a verdict is pass, fail or underpowered")
    optional = [strict_json.member({name: "", **block}, name, str, refuse) for name in _OPTIONAL]
    if not all(HEX.fullmatch(digest) for digest in (w["merkleRoot"], *filter(None, optional))):
        raise refuse("a digest is no lower-case SHA-256")
    envelope = strict_json.dump(strict_json.member(block, "specification", dict, refuse))
    wanted, digest, specifier = _specified(envelope, people)
    found = Found(
        verdict=w["verdict"],
        comparison=w["comparison"],
        items=n["sampleSize"],
        groups=n["groups"],
        groups_needed=needed,
        difference_micros=n["differenceMicros"],
        low_micros=n["lowMicros"],
        high_micros=n["highMicros"],
        merkle_root=w["merkleRoot"],
        floors=floors,
        failures=n["failures"],
        incumbent_failures=n["incumbentFailures"],
        packs=_read_packs(block),
        interval=strict_json.optional(block, _INTERVAL, str, "", refuse),
        unasked=strict_json.optional(block, _UNASKED, int, 0, refuse),
        groups_range=_read_range(block),
        floor_lows=_read_counts(block, _LOWS),
        agreed=strict_json.optional(block, _AGREED, int, 0, refuse),
        quality=_read_counts(block, _QUALITY),
    )
    told = found.quality
    if told and (set(told) != {"value", "low", "high"} or told["low"] > told["high"]):
        raise refuse(f"{_QUALITY} is no value with its limits")
    if found.interval not in INTERVALS:
        raise refuse(f"its interval is none of {', '.join(filter(None, INTERVALS))}")
    at = Circumstances(
        engine=w["engine"],
        template_sha256=w["templateSha256"],
        look=n["look"],
        log=w["log"],
        entry=n["entry"],
        issued_us=_moment(w["issued"]),
        valid_until_us=_moment(w["validUntil"]),
        replay=optional[0],
        carried_from=optional[1],
        unflipped=_read_counts(block, _UNFLIPPED),
    )
    certificate = Certificate(opened.digest, wanted, found, at, opened.hint, specifier)
    _check(subjects, predicate, certificate, digest)
    return certificate


def _read_range(block: object) -> Range:
    told: list[Any] = strict_json.optional(block, _RANGE, list, [], _malformed)
    if not told:
        return None
    if len(told) != 2 or not all(n is None or type(n) is int for n in told):
        raise _malformed(f"{_RANGE} is no two numbers")
    return told[0], told[1]


def _read_counts(block: object, name: str) -> dict[str, int]:
    told: dict[str, int] = strict_json.optional(block, name, dict, {}, _malformed)
    if not all(type(n) is int and 0 <= n <= specification.MILLION for n in told.values()):
        raise _malformed(f"{name} has no counts")
    return told


def _read_packs(block: dict[str, Any]) -> dict[str, Pack]:
    found: dict[str, Any] = strict_json.optional(block, _PACKS, dict, {}, _malformed)
    packs = {}
    for name, each in found.items():
        if not isinstance(each, dict):
            raise _malformed("a pack is no object")
        strict_json.only(each, {"right", "items", "sha256"}, "a pack", _malformed)
        right, items = (strict_json.member(each, n, int, _malformed) for n in ("right", "items"))
        packs[name] = Pack(right, items, strict_json.member(each, "sha256", str, _malformed))
        if not 0 <= right <= items or not items or not HEX.fullmatch(packs[name].sha256):
            raise _malformed("a pack has other numbers or another digest than a pack can have")
    return packs


def _specified(envelope: bytes, people: Mapping[str, PolicyKey]) -> tuple[Specification, str, str]:
    """The specification inside, its digest and who signed it; checked where the key is known."""
    opened = statement.opened(envelope, MAX_ENVELOPE, _malformed)
    hint = opened.hint
    if hint in people:
        opened.check(people[hint].public, _unsigned)
    return specification.read(opened.payload), opened.digest, hint


def _check(subjects: list[Any], predicate: dict[str, Any], c: Certificate, digest: str) -> None:
    """Hold the parts of a statement against each other."""
    wanted, found, at = c.wanted, c.found, c.circumstances
    block = predicate["evaluation"]
    agree = {
        "its subject is not the specification's": subjects
        == [statement.subject(wanted.task, wanted.task_digest)],
        "its result is not its verdict": predicate.get("result") == RESULTS[found.verdict]
        and block["passed"] is (found.verdict == "pass"),
        "its terms are not the specification's": block["marginMicros"] == wanted.margin_micros
        and block["alphaMicros"] == wanted.alpha_micros
        and block["looks"] == wanted.looks
        and block.get(_SCHEDULE, []) == list(wanted.schedule)
        and block["metric"] == wanted.metric
        and block["threshold"] == -wanted.margin_micros / specification.MILLION
        and block["comparator"] == ">",
        "its floors are not the specification's": found.floors.keys() == wanted.floors.keys()
        and found.packs.keys() == wanted.packs.keys(),
        "its digests are not the specification's": predicate.get("configuration")
        == _configuration(wanted, found, digest),
        "its look is none of the budget's": 1 <= at.look <= wanted.looks,
        "its numbers do not agree": 1 <= found.groups <= found.items
        and 0 <= found.unasked <= MOST_UNASKED * (found.items + found.unasked)
        and found.low_micros <= found.high_micros,
        "its items have labels": 0 <= found.agreed <= found.items
        and (not found.agreed or wanted.split == specification.UNLABELLED),
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
            raise _refused("evaluation_inconsistent", f"Certificate: {problem}.")
    if at.unflipped:
        check_changes(c, at.unflipped)


def _follows(wanted: Specification, found: Found) -> bool:
    """Whether a verdict can come from this interval, which is told to the point."""
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


def _moment(text: str) -> int:
    try:
        if not TIME.fullmatch(text):
            raise ValueError
        return int(datetime.datetime.fromisoformat(text).timestamp()) * 1_000_000
    except ValueError:
        raise _malformed(f"{text[:40]} is not like 2026-11-24T16:00:00Z") from None


def _malformed(problem: str) -> ApplianceError:
    return _refused("evaluation_malformed", f"Certificate: {problem}.")


def _unsigned(problem: str) -> ApplianceError:
    return _refused("evaluation_signature", f"Certificate: {problem}.")


def _refused(code: str, message: str) -> PolicyRefused:
    return PolicyRefused(code, message)
