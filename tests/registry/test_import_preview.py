"""Preview of an import."""

from pathlib import Path

import pytest
from msgspec import structs

from appliance.config import ModelConfig
from appliance.errors import StateRefused
from appliance.facts import AdapterFacts, ModelFacts
from appliance.registry.import_preview import plan
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.adapter import VettedAdapter
from appliance.trust.artifacts.records import ModelRecord
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import ecdsa
from appliance.trust.policy.policy import TrustPolicy
from appliance.wire.admin.plan import ImportPlan
from appliance.workers.memory_estimate import Estimate, estimate
from tests.api.admin.lab import LabData, make_lab
from tests.trust import forge

NOW = 1_764_000_000_000_000


def bases(model_id: str, adapter: VettedAdapter, policy: TrustPolicy) -> None:
    raise StateRefused("adapter_base_missing", model_id)


def needs(model_id: str, facts: ModelFacts) -> Estimate:
    return estimate(facts, ModelConfig(), "zen4")


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    return make_lab(tmp_path)


def planned(
    lab: LabData, path: Path, records: list[ModelRecord] | None = None, against: str | None = None
) -> ImportPlan:
    policy = load_policy(lab.data / "trust")
    return plan(path, path.name, policy, needs, records or [], NOW, forge.quiet, bases, against)


def test_a_good_artifact_tells_signer_size_and_who_must_approve(lab: LabData) -> None:
    found = planned(lab, lab.artifact())
    assert found.ok and found.code is None and found.digest and found.publisher
    assert (found.approvals, len(found.approvers)) == (2, 2)
    assert found.bytes > 0 and found.memory_mib > 0 and isinstance(found.facts, ModelFacts)
    assert (found.against, found.differences) == (None, [])
    assert list((lab.data / "models").iterdir()) == []


def test_what_an_import_refuses_the_plan_refuses_with_the_same_code(lab: LabData) -> None:
    path = lab.artifact()
    with (path / "LICENSE").open("ab") as file:
        file.write(b"x")
    found = planned(lab, path)
    assert not found.ok and found.code == "file_changed" and found.message and found.hint
    forge.make_artifact(path.with_name("bare"))
    assert planned(lab, path.with_name("bare")).code == "signature_missing"
    assert planned(lab, path / "none").code == "artifact_not_directory"


def test_it_is_compared_with_the_newest_model_like_it(lab: LabData) -> None:
    path = lab.artifact("pump-v2")
    facts = planned(lab, path).facts
    assert isinstance(facts, ModelFacts)
    more, named = structs.replace(facts, n_layer=99), structs.replace(facts, name="v")
    old = ModelRecord("pump-v1", "approved", digest="00", facts=more)
    older = ModelRecord("pump", "approved", digest="01", facts=facts, created_us=-1)
    other = ModelRecord("valve", "approved", digest="02", facts=named)
    found = planned(lab, path, [older, old, other])
    assert found.against == "pump-v1"
    told = {d.fact: (d.now, d.then) for d in found.differences}
    assert set(told) == {"digest", "n_layer"} and told["n_layer"][1] == "99"
    assert planned(lab, path, [other], "valve").against == "valve"
    assert planned(lab, path, [other], "none").against is None


def test_an_adapter_is_held_against_its_base(lab: LabData) -> None:
    base = lab.artifact("base")
    path = base.with_name("base:fr")
    path.mkdir()
    (path / "a.gguf").write_bytes(forge.lora().build())
    signing.bind_adapter(path, base, forge.quiet)
    forge.resign(path, ecdsa.load_private((lab.data / "keys/lab/publisher.pem").read_bytes()))
    assert planned(lab, path).code == "adapter_base_missing"
    asked: list[str] = []
    found = plan(
        path, path.name, load_policy(lab.data / "trust"), needs, [], NOW, forge.quiet,
        lambda model_id, facts, policy: asked.append(model_id),
    )  # fmt: skip
    assert found.ok and asked == ["base:fr"]
    assert isinstance(found.facts, AdapterFacts) and found.facts.base_digest
