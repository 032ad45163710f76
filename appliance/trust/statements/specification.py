"""The specification of a gate: what will be compared, on which items, and by which terms.

Rules: a person signs it before the split is opened; it names task, dataset and incumbent by digest,
and holds every number that the verdict depends on, as integers; one specification takes one look.

Source: in-toto Statement v1 in a DSSE envelope, predicate type of our own (docs/gate.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.errors import ApplianceError, PolicyRefused
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import statement
from appliance.trust.statements.statement import HEX, PAYLOAD_TYPE, TIME

PREDICATE_TYPE: Final = "https://appliance.invalid/gate-specification/v1"
MAX_ENVELOPE: Final = 256 << 10
MILLION: Final = 1_000_000
UNLABELLED: Final = "unlabelled"
SPLITS: Final = ("certify", "test", UNLABELLED)
RATERS: Final = 2
_TEXTS: Final = ("split", "metric", "model", "model_digest", "incumbent", "items", "seed", "name")
_INTEGERS: Final = ("margin_micros", "alpha_micros", "looks")


@dataclass(frozen=True)
class Specification:
    """What a gate will do.

    Attributes:
        task, dataset: ids in the store, each with the hex digest of its signature's root.
        split: the sealed split that is opened; `unlabelled`: `raters` label the items on which
            candidate and incumbent differ, and no others.
        margin_micros: how much worse the candidate may be, in millionths.
        alpha_micros: probability that a worse one passes, over all looks, in millionths.
        looks: over how many looks alpha is spread.
        schedule: the share of alpha that each look spends, in millionths; empty: equal shares.
        model, model_digest: what answers for the task.
        incumbent: a baseline (`majority`, `logistic regression`, `none`) or the id of a task.
        incumbent_digest: of that task; "" for a baseline.
        floors: least value of the metric, in millionths, by stratum; "" is the whole.
        packs: least share of a pack's items that the candidate's model must get right by itself,
            in millionths, by pack.
        items: `all`, or `one`: one item of each group, drawn by `seed`.
        seed: chosen at random, so that no specification is signed twice.
        name: the person who signs.
        time: when, ISO 8601 in UTC.
        raters: two people who label; none for a split that has its labels.
    """

    task: str
    task_digest: str
    dataset: str
    dataset_digest: str
    split: str
    metric: str
    margin_micros: int
    alpha_micros: int
    looks: int
    model: str
    model_digest: str
    incumbent: str
    seed: str
    name: str
    time: str
    incumbent_digest: str = ""
    floors: Mapping[str, int] = field(default_factory=dict)
    packs: Mapping[str, int] = field(default_factory=dict)
    items: str = "all"
    schedule: tuple[int, ...] = ()
    raters: tuple[str, ...] = ()

    def alpha_of(self, look: int) -> float:
        """The probability of a wrong pass that one look spends; looks count from 1."""
        if self.schedule:
            return self.alpha_micros * self.schedule[look - 1] / MILLION / MILLION
        return self.alpha_micros / MILLION / self.looks

    def statement(self) -> dict[str, Any]:
        """The in-toto statement."""
        predicate = {name: getattr(self, name) for name in (*_TEXTS, *_INTEGERS)}
        predicate |= {"time": self.time, "incumbent_digest": self.incumbent_digest}
        predicate |= {"packs": dict(self.packs)} if self.packs else {}
        predicate |= {"schedule": list(self.schedule)} if self.schedule else {}
        predicate |= {"raters": list(self.raters)} if self.raters else {}
        named = ((self.task, self.task_digest), (self.dataset, self.dataset_digest))
        subjects = [statement.subject(name, digest) for name, digest in named]
        return statement.document(
            subjects, PREDICATE_TYPE, {**predicate, "floors": dict(self.floors)}
        )


def sign(wanted: Specification, private_key: bytes) -> bytes:
    """Sign a specification as a DSSE envelope.

    Raises:
        PolicyRefused: `specification_invalid`.
        SignatureRefused: `signature_key_unsupported`.
    """
    payload = strict_json.dump(wanted.statement())
    read(payload)
    return dsse.sign(payload, PAYLOAD_TYPE, [ecdsa.load_private(private_key)])


@dataclass(frozen=True)
class Signed:
    """A specification whose signature holds.

    Attributes:
        digest: hex SHA-256 of the signed payload: its id.
        envelope: as it was signed.
    """

    wanted: Specification
    digest: str
    envelope: bytes


def verify(envelope: bytes, policy: TrustPolicy) -> Signed:
    """Check who signed a specification, and read it.

    Raises:
        PolicyRefused: `specification_invalid`, `specification_signature`, and what
            `TrustPolicy.specifier` raises.
    """
    opened = statement.opened(envelope, MAX_ENVELOPE, _invalid)
    wanted = read(opened.payload)
    opened.check(policy.specifier(opened.hint, wanted.name).public, _unsigned)
    return Signed(wanted, opened.digest, envelope)


def unverified(envelope: bytes) -> Specification:
    """What a specification says, its signature unseen: for titles, never for a decision.

    Raises:
        PolicyRefused: `specification_invalid`.
    """
    return read(statement.opened(envelope, MAX_ENVELOPE, _invalid).payload)


def read(payload: bytes) -> Specification:
    """Read a specification whose signature something else checks.

    Raises:
        PolicyRefused: `specification_invalid`.
    """
    refuse = _invalid
    subjects, predicate = statement.parts(payload, PREDICATE_TYPE, MAX_ENVELOPE, refuse)
    if len(subjects) != 2:
        raise refuse("its subjects are not a task and a dataset")
    (task, task_digest), (dataset, dataset_digest) = (
        statement.read_subject(each, refuse) for each in subjects
    )
    known = {*_TEXTS, *_INTEGERS, "time", "floors", "packs", "incumbent_digest"}
    known |= {"schedule", "raters"}
    strict_json.only(predicate, known, "predicate", refuse)
    texts = {name: strict_json.member(predicate, name, str, refuse) for name in _TEXTS}
    numbers = {name: strict_json.member(predicate, name, int, refuse) for name in _INTEGERS}
    floors: dict[str, Any] = strict_json.member(predicate, "floors", dict, refuse)
    packs: dict[str, Any] = strict_json.optional(predicate, "packs", dict, {}, refuse)
    schedule: list[Any] = strict_json.optional(predicate, "schedule", list, [], refuse)
    found = Specification(
        task=task,
        task_digest=task_digest,
        dataset=dataset,
        dataset_digest=dataset_digest,
        time=strict_json.member(predicate, "time", str, refuse),
        incumbent_digest=strict_json.member(predicate, "incumbent_digest", str, refuse),
        floors=floors,
        packs=packs,
        split=texts["split"],
        metric=texts["metric"],
        model=texts["model"],
        model_digest=texts["model_digest"],
        incumbent=texts["incumbent"],
        items=texts["items"],
        seed=texts["seed"],
        name=texts["name"],
        margin_micros=numbers["margin_micros"],
        alpha_micros=numbers["alpha_micros"],
        looks=numbers["looks"],
        schedule=tuple(schedule),
        raters=strict_json.strings(predicate, "raters", refuse),
    )
    _check(found)
    return found


def _check(found: Specification) -> None:
    digests = [found.model_digest, *filter(None, [found.incumbent_digest])]
    if not all(map(HEX.fullmatch, digests)):
        raise _invalid("a digest is no lower-case SHA-256")
    if found.split not in SPLITS or found.items not in ("all", "one"):
        raise _invalid(f"split is one of {', '.join(SPLITS)}, and items is all or one")
    if len(set(found.raters)) != (RATERS if found.split == UNLABELLED else 0):
        raise _invalid(f"two people label the split {UNLABELLED}, and no other")
    if found.split == UNLABELLED and (found.floors or found.incumbent == "none"):
        raise _invalid("where two differ shows no floor, and a comparison takes two")
    if not 0 < found.margin_micros < MILLION or not 0 < found.alpha_micros <= MILLION // 5:
        raise _invalid("margin lies within 0 and 1, alpha within 0 and 0.2")
    if not 1 <= found.looks <= 100 or not 8 <= len(found.seed) <= 128:
        raise _invalid("looks are 1 to 100, and a seed has 8 to 128 characters")
    if found.schedule and not (
        len(found.schedule) == found.looks
        and all(type(share) is int and share > 0 for share in found.schedule)
        and sum(found.schedule) <= MILLION
    ):
        raise _invalid(
            "a schedule has a positive share for each look, and spends alpha at most once"
        )
    floors = (*found.floors.values(), *found.packs.values())
    if any(type(f) is not int or not 0 < f < MILLION for f in floors):
        raise _invalid("a floor lies within 0 and 1")
    if not TIME.fullmatch(found.time):
        raise _invalid("time is not like 2026-11-24T16:00:00Z")
    names = (found.task, found.dataset, found.model, found.incumbent, found.name, found.seed)
    for text in (*names, *found.packs, *found.raters):
        if not text.strip() or not text.isprintable() or len(text) > 200:
            raise _invalid("a name is empty, too long or does not print")


def _invalid(problem: str) -> ApplianceError:
    return PolicyRefused("specification_invalid", f"Specification: {problem}.")


def _unsigned(problem: str) -> ApplianceError:
    return PolicyRefused("specification_signature", f"Specification: {problem}.")
