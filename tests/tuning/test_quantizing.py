"""Quantising as a job: immediate refusals, and a real file from 16 bits to 8 and to 2."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.engine.quantized import Order
from appliance.errors import PolicyRefused, TuningRefused
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from appliance.tuning.quantizer_process import made_by_child
from appliance.tuning.quantizing import Quantizing
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.evals.orders import TASK, write_task
from tests.evals.sealed import add_dataset, add_task, envelope, terms
from tests.lora import add_adapter
from tests.smol import APPROVERS, ID, SMALL, approve, key, quiet, signed_artifact
from tests.smol import sealed as sealed_model
from tests.tuning.runs import sealed

F16, Q8_0 = 1, 7
WIDE, SMALLER = "smol-f16", "smol-q8"


def params(task: Path, data: Path, **more: Any) -> dict[str, Any]:
    return {"model": ID, "to": ["Q8_0"], "task": str(task), "data": str(data), **more}


def kind(services: Services) -> Quantizing:
    found = services.jobs.kind("quantize")
    assert isinstance(found, Quantizing)
    return found


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "quantize_source"),  # the default model is Q4_1
        ({"to": ["Q9_9"]}, "quantize_type"),
        ({"to": []}, "quantize_type"),
        ({"data": "/nowhere"}, "tuning_invalid"),
        ({"dev": 0}, "tuning_invalid"),
        ({"most_kld": 0}, "tuning_invalid"),
        ({"split": "test"}, "tuning_invalid"),
        ({"importance": "test"}, "tuning_invalid"),  # no split has a name here
        ({"importance": False, "to": ["IQ2_XS"]}, "quantize_type"),
        ({"again": True}, "tuning_invalid"),
    ],
)
def test_what_cannot_be_quantised_is_refused_before_anything_is_stored(
    services: Services, task: Path, data: Path, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(TuningRefused) as refused:
        found = kind(services)
        found.check(found.read(json.dumps({**params(task, data), **change})))
    assert refused.value.code == code


def test_adapters_of_the_source_are_named_and_fit_no_other_file(own: Services) -> None:
    adapter = add_adapter(own, "named", 5, rank=1)
    assert kind(own)._adapters(ID) == [adapter] and kind(own)._adapters(WIDE) == []
    policy, model = load_policy(own.data / "trust"), sealed_model(own)
    own.store.seal_adapter(adapter, model, policy, quiet).close()
    quantised = replace(model, gguf_sha256="0" * 64)  # the same artifact with another file
    with pytest.raises(PolicyRefused) as refused:
        own.store.seal_adapter(adapter, quantised, policy, quiet)
    assert refused.value.code == "adapter_other_base"
    model.close()


def _order(ftype: int, **more: Any) -> Order:
    return Order(ftype, 1, [], 0, 4 << 30, 1 << 30, **more)


@pytest.fixture
async def wide(tmp_path: Path, default_model_path: Path) -> Path:
    """In 16 bits: made from 4, so no better, but like a publisher's source."""
    base = sealed(default_model_path)
    fd, result = await made_by_child(
        base, _order(F16, again=True), best_variant(library_directory())
    )
    base.close()
    assert result.confinement["seccomp"] and int(result.confinement["landlock"]) >= 1
    path = tmp_path / "wide.gguf"
    with os.fdopen(fd, "rb") as made, path.open("wb") as target:
        made.seek(0)
        shutil.copyfileobj(made, target)
    return path


@pytest.fixture
def lab(tmp_path: Path, wide: Path) -> Iterator[Services]:
    initialise(tmp_path / "data", "lab", evaluated=True)
    path = signed_artifact(tmp_path / "data", wide, tmp_path / WIDE)
    with open_services(tmp_path / "data", config=replace(SMALL)) as services:
        services.lifecycle.import_model("uid:0", path, None, quiet)
        approve(services, WIDE, *APPROVERS)
        yield services


@pytest.mark.slow  # three files of 135M weights, each made and asked, and a gate of 240 items
@pytest.mark.timeout(900)
async def test_eight_bits_pass_and_two_are_rejected_and_the_choice_passes_the_gate(
    lab: Services, tmp_path: Path
) -> None:
    add_dataset(
        lab, tmp_path / "orders", dev=120, groups=240, first=300
    )  # test is sealed from here on
    task, data = write_task(tmp_path / "task"), tmp_path / "orders"
    asked = params(task, data, model=WIDE, to=["Q8_0", "Q2_K"], dev=120)
    live = await lab.jobs.start("quantize", asked, "uid:0")
    result = (await live.outcome()).document
    eight, two = result["rows"]
    assert eight["verdict"] == "pass" and eight["flips"] < 0.1 and eight["kld"] < 0.05
    assert two["verdict"] == "fail" and two["kld"] > 0.1 and two["mib"] < eight["mib"]
    assert two["importance"] and two["kld_plain"] > 0.1 and two["kld_plain"] != two["kld"]
    assert not eight["importance"] and eight["kld_plain"] is None
    assert result["recommended"] == "Q8_0" and result["source"]["mib"] > 1.8 * eight["mib"]
    assert eight["tokens_s"] > 0 and eight["groups"] == 120
    path = Path(result["directory"])
    assert sorted(p.name for p in path.iterdir()) == ["model.gguf", "quantization.json"]
    record = json.loads((path / "quantization.json").read_text())
    source = (tmp_path / "wide.gguf").read_bytes()
    assert record["source"]["gguf_sha256"] == hashlib.sha256(source).hexdigest()
    assert record["file_sha256"] == hashlib.sha256((path / "model.gguf").read_bytes()).hexdigest()
    matrix = record["importance_matrix"]
    assert matrix["split"] == "train" and 0 < matrix["tokens"] <= 8_000
    assert len(set(record["importance_rows"])) == matrix["rows"] > 50
    signing.sign_directory(path, key(lab.data, "publisher"), quiet)
    found = lab.lifecycle.import_model("uid:0", path, SMALLER, quiet)
    assert found.state == "verified", found.message
    await passes_the_gate(lab, tmp_path)
    await lab.jobs.close()


async def passes_the_gate(lab: Services, tmp_path: Path) -> None:
    """The choice against its source, on a sealed split that chose nothing."""
    approve(lab, SMALLER, *APPROVERS)
    for name in (WIDE, SMALLER):
        add_task(lab, tmp_path / f"on-{name}", TASK.replace('"smol"', f'"{name}"'), model=name)
        await lab.supervisor.start(sealed_model(lab, name))
    digest = lab.store.inventory.record(f"on-{WIDE}").digest
    wanted = terms(lab, f"on-{SMALLER}", "orders", incumbent=f"on-{WIDE}", incumbent_digest=digest)
    live = await lab.jobs.start("gate", {"specification": envelope(lab, wanted).decode()}, "uid:0")
    result = (await live.outcome()).document
    assert result["verdict"] == "pass" and result["groups"] == 240
    assert (result["candidate"], result["incumbent"]) == (SMALLER, f"on-{WIDE}")
    approve(lab, f"on-{SMALLER}", *APPROVERS)  # which asks for the certificate
    assert lab.store.inventory.record(f"on-{SMALLER}").state == "approved"
    await lab.inference.drain(30)
    await lab.supervisor.close()
