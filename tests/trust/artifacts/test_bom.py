"""The bill of materials: valid CycloneDX 1.7, and what was verified."""

import json
from pathlib import Path
from typing import Any

import cyclonedx.schema
import jsonschema_rs

from appliance.trust.artifacts import bom
from tests.trust import forge

SCHEMAS = Path(cyclonedx.schema.__file__).parent / "_res"


def made(lab: forge.Lab, model_id: str) -> dict[str, Any]:
    signed, facts = lab.store.inspect(model_id, lab.policy)
    approvals = lab.store.approvals(model_id, lab.policy)
    document = bom.make(lab.store.inventory.record(model_id), signed, facts, approvals, "llama 1")
    found: dict[str, Any] = json.loads(document)
    return found


def validator() -> Any:
    texts = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    base = "http://cyclonedx.org/schema/"
    registry = jsonschema_rs.Registry([(base + name, text) for name, text in texts.items()])
    return jsonschema_rs.validator_for(texts["bom-1.7.SNAPSHOT.schema.json"], registry=registry)


def test_it_is_valid_and_says_what_was_verified(lab: forge.Lab) -> None:
    (lab.artifact / "verdict.lark").write_text('start: "a"')
    (lab.artifact / "chat.jinja").write_text("x")
    roles = {"verdict.lark": "grammar", "chat.jinja": "template"}
    (lab.artifact / "artifact.json").write_text(json.dumps({"version": 1, "roles": roles}))
    lab.resign()
    model_id = lab.approved()
    document = made(lab, model_id)
    check = validator()
    assert [str(error) for error in check.iter_errors(document)] == []
    (model,) = document["components"]
    assert model["type"] == "machine-learning-model"
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "llama"
    told = [(p["name"], p["value"]) for p in model["properties"]]
    assert ("appliance:publisher", "publisher") in told
    assert len([v for n, v in told if n == "appliance:approval"]) == 2
    files = {part["name"]: part["hashes"][0]["content"] for part in model["components"]}
    assert files == forge.digests_below(lab.artifact)
    assert {
        part["name"]: part["properties"][0]["value"]
        for part in model["components"]
        if "properties" in part
    } == roles
    assert made(lab, model_id) == document  # the same again
    broken = {**document, "components": [{**model, "type": "neural"}]}
    assert list(check.iter_errors(broken))  # the schema can say no


def test_an_adapter_names_its_base(lab: forge.Lab) -> None:
    base = made(lab, lab.approved())["components"][0]
    document = made(lab, lab.take(lab.adapter(), "tiny:fr"))
    assert [str(error) for error in validator().iter_errors(document)] == []
    (adapter,) = document["components"]
    assert (adapter["name"], adapter["description"]) == ("tiny:fr", "tiny adapter")
    told = {p["name"]: p["value"] for p in adapter["properties"]}
    assert (told["appliance:rank"], told["appliance:alpha"]) == ("2", "4.0")
    parameters = adapter["modelCard"]["modelParameters"]
    assert parameters["modelArchitecture"] == "llama LoRA"
    (ancestor,) = adapter["pedigree"]["ancestors"]
    assert ancestor["name"] == "tiny" and "pedigree" not in base
    (root,) = ancestor["properties"]
    assert root in base["properties"]
    gguf = [part for part in base["components"] if part["name"].endswith(".gguf")]
    assert ancestor["hashes"] == gguf[0]["hashes"]
