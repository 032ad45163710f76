"""Without the form: the prompt is the task's, nothing holds the model, and its text is read."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from appliance.admission.places import Place
from appliance.evals.free_form import UnforcedTask, forced, read_freely
from appliance.serving.backend import Backends, ModelBackend
from appliance.tasks.backend import TaskBackend
from appliance.tasks.loaded import LoadedTask, load
from appliance.types import Delta, GenerationRequest, Principal
from tests.tasks.example import FIELDS, LABELS, SCHEMA

CODES = LABELS.replace("[gate]", 'codes = ["A", "B", "C"]\n[gate]')
TEXT = LABELS.split("[output]")[0] + '[output]\nform = "text"\n[gate]' + LABELS.split("[gate]")[1]


SHORT = TEXT.replace("version", "max_tokens = 7\nversion")


def loaded(text: str) -> LoadedTask:
    files = {"task.toml": text.encode(), "schema.json": json.dumps(SCHEMA).encode()}
    return load(lambda name, most: files[name][:most], "d")


def test_what_forces_a_form() -> None:
    assert forced(loaded(LABELS)) == "labels"
    assert forced(loaded(FIELDS)) == "schema"
    assert forced(loaded(TEXT)) is None
    assert forced(loaded(TEXT.replace('"text"\n', '"text"\ngrammar = "g"\n'))) == "grammar"


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        (LABELS, " engine ", "engine"),
        (LABELS, "the engine", "the engine"),
        (CODES, "B", "engine"),
        (CODES, "engine", "engine"),
        (TEXT, " as it is", " as it is"),
        (FIELDS.replace('encoding = "values"\n', ""), '{"part":1}', '{"part":1}'),
        (FIELDS, "one line", "one line"),
    ],
)
def test_what_was_written_is_read(text: str, written: str, read: str) -> None:
    assert read_freely(loaded(text), written) == read


def test_lines_of_values_are_read_as_the_json_that_they_stand_for() -> None:
    found = json.loads(read_freely(loaded(FIELDS), "hose\nleft\n1.5\n2\ntrue\nsays ok"))
    assert found == {
        "part": "hose", "side": "left", "hours": 1.5, "count": 2, "urgent": True, "note": "says ok",
    }  # fmt: skip


class Model:
    def __init__(self) -> None:
        self.asked: list[GenerationRequest] = []

    async def prepare(self, request: GenerationRequest, principal: Principal, seed: int) -> Any:
        self.asked.append(request)
        return "prepared"

    async def run(self, prepared: Any) -> AsyncIterator[Delta]:
        yield Delta("engine", 1, "stop")


class Tasks:
    cards = card = slots = resolve = None

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    async def open(self, model_id: str, key_id: str, place: Place) -> ModelBackend:
        return cast(ModelBackend, self.backend)


@pytest.mark.parametrize(("text", "most"), [(LABELS, 32), (FIELDS, 64 * 6), (SHORT, 7)])
async def test_the_model_gets_the_prompt_of_the_task_and_is_not_held(text: str, most: int) -> None:
    model, task = Model(), loaded(text)
    backends = Tasks(TaskBackend(task, cast(ModelBackend, model)))
    free = await UnforcedTask(cast(Backends, backends), task).open(
        task.task.id, "k", cast(Place, None)
    )
    content = json.dumps({"text": "no start"})
    request = GenerationRequest(
        model=task.task.id, messages=({"role": "user", "content": content},)
    )
    prepared = await free.prepare(request, Principal("k", "k"), 1)
    (asked,) = model.asked
    assert asked.messages is not None and asked.messages[-1]["content"] == "Work order: no start"
    assert (asked.task.labels, asked.constraint, asked.max_tokens) == ((), None, most)
    assert [delta.text async for delta in free.run(prepared)] == ["engine"]


async def test_other_models_stay_what_they_are() -> None:
    task = loaded(LABELS)
    backend = object()
    found = await UnforcedTask(cast(Backends, Tasks(backend)), task).open(
        "smol", "k", cast(Place, None)
    )
    assert found is cast(Any, backend)
