"""What importing an artifact would do, found out where it lies.

Rules: the checks are those of an import, in the same order, under the policy in force; nothing is
copied, stored or recorded, and nothing that was found is believed later: an import checks its own
copy again.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from appliance.errors import Refused
from appliance.registry.versions import versions
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.artifacts.adapter import AdapterFacts
from appliance.trust.artifacts.artifact import AnyFacts, OtherFacts, VetWhole
from appliance.trust.artifacts.records import ModelRecord
from appliance.trust.bytes import directory as directories
from appliance.trust.bytes.directory import Artifact
from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import Json
from appliance.workers.memory_estimate import MIB, Estimate, adapter_bytes

Progress = Callable[[str, int, int], None]
CheckBase = Callable[[str, AdapterFacts, TrustPolicy], None]
OtherKind = Callable[[str, Artifact], VetWhole | None]
Needs = Callable[[str, GgufFacts], Estimate]


@dataclass(frozen=True)
class Difference:
    """A fact of the artifact beside that of the model it is compared with."""

    fact: str
    now: str
    then: str


@dataclass(frozen=True)
class ImportPlan:
    """The fields of `wire.admin.plan.ImportPlan`; `refusal` is the first check that failed."""

    path: str
    id: str
    refusal: Refused | None = None
    files: int = 0
    bytes: int = 0
    digest: str | None = None
    publisher: str = ""
    approvals: int = 0
    approvers: list[str] = field(default_factory=list)
    memory_mib: int = 0
    facts: dict[str, Json] = field(default_factory=dict)
    against: str | None = None
    differences: list[Difference] = field(default_factory=list)


def _models_alone(_model_id: str, _artifact: Artifact) -> None:
    """Every artifact is vetted as a model."""


def plan(
    path: Path,
    model_id: str,
    policy: TrustPolicy,
    estimate: Needs,
    records: list[ModelRecord],
    at_us: int,
    progress: Progress,
    check_base: CheckBase,
    against: str | None = None,
    other_kind: OtherKind = _models_alone,
) -> ImportPlan:
    """Examine an artifact.

    Args:
        model_id: the id that it would get.
        estimate: what a model takes under an id.
        records: the models of the store, one of which it may replace.
        at_us: when certificates must be valid, microseconds since the epoch.
        check_base: holds an adapter against its base: `ModelStore.check_base`.
        against: the id to compare with; by default the newest model like it.
        other_kind: says what vets an artifact that is no model: `Inventory.other`.
    """
    found = ImportPlan(str(path), model_id, approvers=policy.approvers())
    try:
        with directories.open_artifact(path) as artifact:
            sizes = artifact.sizes
            found = replace(found, files=len(sizes), bytes=sum(sizes.values()))
            other = other_kind(model_id, artifact)
            if other is None:
                artifacts.vet_stored(artifact, artifacts.vet_for(model_id))
            else:
                artifacts.admitted(other(artifact))
            signed = artifacts.check_signature(artifact, model_id, policy, at_us)
            found = replace(
                found,
                digest=signed.manifest.root,
                publisher=signed.publisher.person,
                approvals=policy.approvals_needed(signed.rule),
                approvers=policy.approvers(signed.publisher),
            )
            facts: AnyFacts
            if other is not None:
                artifacts.check_files(artifact, signed, policy, progress)
                facts = other(artifact)
            else:
                vet = artifacts.vet_for(model_id)
                facts = artifacts.check_stored(artifact, signed, policy, progress, vet)
            if isinstance(facts, AdapterFacts):
                check_base(model_id, facts, policy)
    except Refused as error:
        return replace(found, refusal=error)
    if isinstance(facts, OtherFacts):
        needs = 0
    elif isinstance(facts, AdapterFacts):
        needs = adapter_bytes(facts.lora.file_bytes)
    else:
        needs = estimate(model_id, facts).total
    found = replace(found, memory_mib=needs // MIB, facts=dict(facts.summary()))
    return _compared(found, records, against)


def _compared(found: ImportPlan, records: list[ModelRecord], against: str | None) -> ImportPlan:
    other = _other(found, records, against)
    if other is None:
        return found
    then = {**other.facts, "digest": other.digest}
    now = {**found.facts, "digest": found.digest}
    return replace(
        found,
        against=other.id,
        differences=[
            Difference(name, _shown(now.get(name)), _shown(then.get(name)))
            for name in sorted(now.keys() | then.keys())
            if now.get(name) != then.get(name)
        ],
    )


def _other(
    found: ImportPlan, records: list[ModelRecord], against: str | None
) -> ModelRecord | None:
    """The model to compare with: the named one, or the newest of this kind and name."""
    if against is not None:
        return next((record for record in records if record.id == against), None)
    return next(iter(versions(found.id, found.facts, records)), None)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return "-" if value is None else str(value)


def fields(found: ImportPlan) -> dict[str, object]:
    """The plan as plain values, the refusal left out."""
    table = asdict(replace(found, refusal=None))
    del table["refusal"]
    return table
