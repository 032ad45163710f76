"""A bill of materials of one model or adapter: CycloneDX 1.7, as auditors read it (ML-BOM). Pure.

Rules: the same artifact under the same approvals gives the same document. An adapter names its base
as its ancestor.

Source: CycloneDX 1.7, component type machine-learning-model; ECMA-424.
"""

import datetime
import json
import uuid
from collections.abc import Sequence
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.output.json import JsonV1Dot7

from appliance import __version__
from appliance.errors import StateRefused
from appliance.trust.artifacts.adapter import VettedAdapter, base_of
from appliance.trust.artifacts.artifact import ModelFile, SignedArtifact, Vetted, VettedWhole
from appliance.trust.artifacts.records import ModelRecord
from appliance.trust.statements.approval import ValidApproval

_SPACE: Final = uuid.UUID("5c0b6a8e-7f0d-5f1e-9c3a-2f6f0a1d7b44")
_TASKS: Final = {"generate": "text-generation", "embed": "feature-extraction",
                 "rerank": "text-ranking"}  # fmt: skip


def make(
    record: ModelRecord,
    signed: SignedArtifact,
    facts: Vetted,
    approvals: Sequence[ValidApproval],
    engine: str,
) -> bytes:
    """The document; `engine` is name and version of what runs the model."""
    if isinstance(facts, VettedWhole):
        raise StateRefused("artifact_kind", f"{record.id} is a {record.kind}, not a model.")
    properties = {
        "state": record.state,
        "oms_root_digest": signed.manifest.root,
        "signer": signed.publisher.hint,
        "publisher": signed.publisher.person,
        "engine": engine,
        **_numbers(facts),
    }
    listed = [Property(name=f"appliance:{name}", value=value) for name, value in properties.items()]
    listed += [
        Property(name="appliance:approval", value=f"{a.name}, {a.time}: {a.meaning}")
        for a in approvals
    ]
    digests = {} if signed.manifest.shard_size else signed.manifest.files
    roles = {
        name: [Property(name="appliance:role", value=role)]
        for name, role in signed.description.roles.items()
    }
    model = Component(
        name=record.id,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{signed.manifest.root}",
        version=str(signed.description.version or signed.manifest.root[:16]),
        description=(facts.lora if isinstance(facts, VettedAdapter) else facts).name or None,
        hashes=_hashes(digests.get(signed.model_file)),
        properties=listed,
        pedigree=_pedigree(record.id, facts),
        components=[
            Component(
                name=name, type=ComponentType.FILE, bom_ref=f"file:{signed.manifest.root}:{name}",
                hashes=_hashes(digests.get(name)), properties=roles.get(name),
            )
            for name in signed.manifest.files
        ],
    )  # fmt: skip
    runtime = Component(
        name="appliance", type=ComponentType.APPLICATION, version=__version__,
        bom_ref="appliance",
    )  # fmt: skip
    bom = Bom(components=[model], serial_number=uuid.uuid5(_SPACE, signed.manifest.root))
    bom.metadata.component = runtime
    bom.register_dependency(runtime, [model])
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(
        record.created_us / 1_000_000, datetime.UTC
    )
    kind = "generate" if isinstance(facts, VettedAdapter) else facts.kind  # as its base does
    document = json.loads(JsonV1Dot7(bom).output_as_string())
    # The library has no model card yet; the schema does.
    document["components"][0]["modelCard"] = {
        "modelParameters": {
            "task": _TASKS[kind],
            "architectureFamily": "transformer",
            "modelArchitecture": _architecture(facts),
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "text" if kind == "generate" else "numbers"}],
        }
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _numbers(facts: ModelFile) -> dict[str, str]:
    if isinstance(facts, VettedAdapter):
        lora = facts.lora
        return {"weights": str(len(lora.pairs)), "rank": str(lora.rank), "alpha": repr(lora.alpha)}
    return {
        "tensors": str(facts.n_tensors),
        "context": str(facts.n_ctx_train),
        "vocabulary": str(facts.n_vocab),
    }


def _architecture(facts: ModelFile) -> str:
    if isinstance(facts, VettedAdapter):
        return f"{facts.lora.architecture} LoRA"
    return facts.architecture


def _pedigree(model_id: str, facts: ModelFile) -> Pedigree | None:
    if not isinstance(facts, VettedAdapter):
        return None
    base = Component(
        name=base_of(model_id) or "",
        type=ComponentType.MACHINE_LEARNING_MODEL,
        version=facts.base.oms_root[:16],
        hashes=_hashes(facts.base.gguf_sha256),
        properties=[Property(name="appliance:oms_root_digest", value=facts.base.oms_root)],
    )
    return Pedigree(ancestors=[base])


def _hashes(digest: str | None) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else []
