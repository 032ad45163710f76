"""Preview of an artifact's import, read where it is.

Rules: the checks and their order are those of an import, under the policy in force; nothing is
copied, stored or recorded: an import checks its own copy again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from appliance.errors import Refused
from appliance.facts import ModelFacts, table_of
from appliance.registry.versions import versions
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.artifacts.adapter import VettedAdapter
from appliance.trust.artifacts.artifact import Vetted, VettedWhole, VetWhole
from appliance.trust.artifacts.records import ModelRecord
from appliance.trust.bytes import directory as directories
from appliance.trust.bytes.directory import Artifact
from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import Report
from appliance.wire.admin.plan import Difference, ImportPlan
from appliance.workers.memory_estimate import MIB, Estimate, adapter_bytes

CheckBase = Callable[[str, VettedAdapter, TrustPolicy], None]
OtherKind = Callable[[str, Artifact], VetWhole | None]
Needs = Callable[[str, ModelFacts], Estimate]


def _models_alone(_model_id: str, _artifact: Artifact) -> None:
    """Every artifact is vetted as a model."""


def plan(
    path: Path,
    model_id: str,
    policy: TrustPolicy,
    estimate: Needs,
    records: list[ModelRecord],
    at_us: int,
    progress: Report,
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
        check_base: `ModelStore.check_base`.
        against: the id to compare with; by default the newest model like it.
        other_kind: `Inventory.other`.
    """
    found = ImportPlan(path=str(path), id=model_id, ok=True, approvers=policy.approvers())
    try:
        with directories.open_artifact(path) as artifact:
            sizes = artifact.sizes
            found = _with(found, files=len(sizes), bytes=sum(sizes.values()))
            other = other_kind(model_id, artifact)
            if other is None:
                artifacts.vet_stored(artifact, artifacts.vet_for(model_id))
            else:
                artifacts.admitted(other(artifact))
            signed = artifacts.check_signature(artifact, model_id, policy, at_us)
            found = _with(
                found,
                digest=signed.manifest.root,
                publisher=signed.publisher.person,
                approvals=policy.approvals_needed(signed.rule),
                approvers=policy.approvers(signed.publisher),
            )
            facts: Vetted
            if other is not None:
                artifacts.check_files(artifact, signed, policy, progress)
                facts = other(artifact)
            else:
                vet = artifacts.vet_for(model_id)
                facts = artifacts.check_stored(artifact, signed, policy, progress, vet)
            if isinstance(facts, VettedAdapter):
                check_base(model_id, facts, policy)
    except Refused as error:
        return _with(found, ok=False, code=error.code, message=error.message, hint=error.hint)
    match facts:
        case GgufFacts():
            needs = estimate(model_id, facts).total
        case VettedAdapter():
            needs = adapter_bytes(facts.lora.file_bytes)
        case VettedWhole():
            needs = 0
        case _:
            assert_never(facts)
    found = _with(found, memory_mib=needs // MIB, facts=facts.kept())
    return _compared(found, records, against)


def _with(found: ImportPlan, **changed: object) -> ImportPlan:
    return found.model_copy(update=changed)


def _compared(found: ImportPlan, records: list[ModelRecord], against: str | None) -> ImportPlan:
    other = _other(found, records, against)
    if other is None:
        return found
    then = {**table_of(other.facts), "digest": other.digest}
    now = {**table_of(found.facts), "digest": found.digest}
    return _with(
        found,
        against=other.id,
        differences=[
            Difference(fact=name, now=_shown(now.get(name)), then=_shown(then.get(name)))
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
