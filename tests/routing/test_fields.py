"""A route whose first stage answers in fields, over the real model: from calibration to label."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from appliance.app import Services, open_services
from appliance.config import RoutesConfig
from appliance.datasets import directory
from appliance.errors import ApplianceError
from appliance.routing.confidence import FIELDS, P_TRUE
from appliance.wire.admin.routes import ROUTE_LABEL, ROUTE_SAMPLE, LabelGiven
from tests.api.admin.lab import client_of
from tests.evals.orders import write_task
from tests.evals.sealed import sealing_key
from tests.routing.world import answer, app, approved, calibrate, copied, item, terms
from tests.smol import ID, SMALL
from tests.tasks import example

pytestmark = pytest.mark.slow
GROUPS = {"train": 4, "dev": 50, "certify": 70}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "system": {"enum": ["hydraulics", "engine"]},
        "kind": {"const": "work order"},
        "work": {"enum": ["replace", "weld"]},
    },
    "required": ["system", "kind", "work"],
    "additionalProperties": False,
}
ROUTE = """\
id = "fields"
version = 1
description = "Work orders in fields; a person where the small model is in doubt."

[terms]
error = 0.95
margin = 0.9

[[stages]]
name = "small"
task = "orders-fields"
p_true = true
digest = "{digest}"
"""


def dataset(services: Services, path: Path) -> None:
    path.mkdir()
    manifest = {"format": 1, "version": 1, "name": path.name, "splits": {}}
    (path / "dataset.json").write_text(json.dumps(manifest))
    for split, count in GROUPS.items():
        rows = [item(n, split) for n in range(count)]
        for row in rows:
            row["expected"] = {"system": row["expected"], "kind": "work order", "work": "replace"}
        (path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    directory.seal(path, directory.read(path), sealing_key(services))
    approved(services, path)


@pytest.fixture
async def lab(smol_data: Path, tmp_path: Path) -> AsyncIterator[Services]:
    config = replace(SMALL, routes=RoutesConfig(sample_percent=100))
    with open_services(copied(smol_data, tmp_path), config=config) as services:
        model = services.store.inventory.record(ID).digest or ""
        toml = example.FIELDS.replace("smollm2-135m", ID).replace("field_accuracy", "exact_match")
        toml = toml.replace(example.LABELS.split('digest = "')[1].partition('"')[0], model)
        path = write_task(tmp_path / "orders-fields", toml, schema_json=json.dumps(SCHEMA))
        approved(services, path)
        dataset(services, tmp_path / "fields-data")
        route = tmp_path / "fields"
        route.mkdir()
        digest = services.store.inventory.record("orders-fields").digest
        (route / "route.toml").write_text(ROUTE.format(digest=digest))
        approved(services, route)
        yield services
        await services.inference.drain(30)
        await services.supervisor.close()


async def test_fields_are_certified_served_and_labelled(lab: Services) -> None:
    wanted = terms(lab, route="fields", dataset="fields-data", small="orders-fields", larger="")
    result = await calibrate(lab, wanted)
    assert result["verdict"] == "certified" and not result["company"], result
    assert {f"{name} alone" for name in (*FIELDS, P_TRUE)} < set(result["ablation"])
    text = item(1, "certify")["input"]["text"]  # like those that were certified
    piece = await answer(lab, app(), text, "fields")
    about = piece.about
    assert about is not None and about.routed is not None
    assert (about.routed.stage, about.routed.certificate) == ("small", result["certificate"])
    assert (about.confidence or 0) >= result["threshold"]
    told = about.document()
    assert set(told["fields"]) == {"system", "work"} and "distribution" not in told
    assert 0 < told["p_true"] < 1
    standing = await lab.routes.standing("fields")
    assert standing.certificate is not None and not standing.why
    given = json.loads(piece.text)
    assert jsonschema_rs.is_valid(SCHEMA, given)
    await lab.monitors.settled()
    with client_of(lab) as client:
        sample = await asyncio.to_thread(lambda: client.call(ROUTE_SAMPLE, route="fields"))
        assert (sample.form, sample.labels) == (SCHEMA, [])
        for wrong in ("hydraulics", "{}", '{"system": "cab"}'):
            with pytest.raises(ApplianceError) as caught:
                label = LabelGiven.of(id=sample.id, label=wrong)
                await asyncio.to_thread(partial(client.call, ROUTE_LABEL, label, route="fields"))
            assert caught.value.code == "item_unknown"
        turned = json.dumps(dict(reversed(given.items())), indent=2)  # the same, written otherwise
        label = LabelGiven.of(id=sample.id, label=turned)
        shown = await asyncio.to_thread(lambda: client.call(ROUTE_LABEL, label, route="fields"))
    assert shown.watched is not None
    assert (shown.watched.labelled, shown.watched.wrong) == (1, 0)
