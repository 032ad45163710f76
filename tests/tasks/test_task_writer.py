"""The text of a task follows from its model's output, or is not given."""

import json
from array import array
from types import SimpleNamespace
from typing import Any

from appliance.serving.backend import PreparedRequest, Provenance
from appliance.tasks.catalogue import CatalogueEntry
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.task_writer import TaskWriter
from appliance.types import Delta, GenerationRequest
from tests.tasks.example import BLEND, FIELDS, LABELS, SCHEMA, coefficients
from tests.tasks.test_loaded import loaded

DIGEST = "d" * 64
ASKED = GenerationRequest(model="m", messages=({"role": "user", "content": "no start"},))


async def written(task: LoadedTask, *pieces: Delta, digest: str = DIGEST) -> str | None:
    async def opened(task_id: str) -> LoadedTask:
        return task

    entry = CatalogueEntry("t", "m", "labels", DIGEST)
    tasks: Any = SimpleNamespace(entries=lambda: [entry], open=opened)
    origin = Provenance("m", "cd" * 32, 1, "e", None, task=DIGEST)
    prepared = PreparedRequest(ASKED, 1, 1, 9, 9, origin)
    return await TaskWriter(tasks).text(digest, prepared, pieces)


async def test_labels_and_values_are_written_again() -> None:
    vector = array("f", [-3.0, -0.1, -5.0]).tobytes()
    assert await written(loaded(LABELS), Delta("", 1, "stop", vector=vector)) == "engine"
    task = loaded(FIELDS, schema_json=json.dumps(SCHEMA))
    text = await written(task, Delta("hose\nleft\n1.5\n", 4), Delta("2\ntrue\nx", 3, "stop"))
    assert text is not None and json.loads(text)["side"] == "left"


async def test_blends_and_tasks_that_are_not_here_are_not() -> None:
    last = Delta("", 1, "stop", vector=array("f", [-3.0, -0.1, -5.0]).tobytes())
    assert await written(loaded(LABELS), last, digest="e" * 64) is None
    assert await written(loaded(BLEND, classifier_json=coefficients()), last) is None
