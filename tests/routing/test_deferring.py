"""The person's question when no stage may answer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.app import initialise, open_services
from appliance.config import AuditConfig, Config
from appliance.errors import BadRequest, Deferred, Queued, TaskRefused
from appliance.routing.deferring import Deferring, first_task, form_of
from appliance.routing.definition import parse
from appliance.tasks.catalogue import Drafts
from appliance.tasks.definition import JsonForm, Text
from appliance.tasks.definition import parse as parse_task
from appliance.tasks.loaded import LoadedTask, load
from appliance.tasks.schemas import ObjectSchema
from appliance.types import GenerationRequest
from tests.routing.example import LARGE, QUEUE, ROUTE
from tests.routing.upstreams.site import caller
from tests.tasks.example import LABELS

ROUTED = parse(('on_defer = "queue"\n' + ROUTE + QUEUE).encode())
LOADED = load(lambda name, most: LABELS.encode(), LARGE)
ASKED = GenerationRequest("licences", messages=({"role": "user", "content": "It drips."},))


class Broken(Drafts):
    async def open(self, task_id: str) -> LoadedTask:
        if task_id == "licences-small":
            raise TaskRefused("task_invalid", "x")
        return await super().open(task_id)


async def test_the_first_task_that_is_here_says_what_an_input_is() -> None:
    small = replace(LOADED, digest="1" * 64)
    both = {"licences-small": small, "licences-large": LOADED}
    assert await first_task(ROUTED, Drafts(both)) is small
    assert await first_task(ROUTED, Broken(both)) is LOADED
    assert await first_task(ROUTED, Drafts({})) is None


def test_an_answer_has_the_form_of_the_task() -> None:
    task: Any = parse_task(LABELS.encode())
    assert form_of(LOADED).labels == ("hydraulics", "engine", "electrical")
    fields = replace(
        LOADED, task=_with(task, JsonForm("schema.json")), schema=ObjectSchema({"type": "object"})
    )
    assert form_of(fields).schema == {"type": "object"}
    text = form_of(replace(LOADED, task=_with(task, Text())))
    assert (text.labels, text.schema) == ((), None)


def _with(task: Any, output: Any) -> Any:
    return msgspec.structs.replace(task, output=output)


async def test_an_input_waits_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    initialise(tmp_path / "d", "lab")
    with open_services(tmp_path / "d", config=Config(audit=AuditConfig(ballast_mib=0))) as services:
        put = Deferring(services.people, Drafts({"licences-large": LOADED}))
        told = await put(caller(), ASKED, ROUTED, "in_doubt")
        assert isinstance(told, Queued) and told.code == "task_queued"
        (item,) = services.people.list()
        assert (item.id, item.task, item.input) == (
            told.item["id"], "licences", {"text": "It drips."},
        )  # fmt: skip
        with pytest.raises(BadRequest) as caught:
            await put(caller(), replace(ASKED, messages=()), ROUTED, "in_doubt")
        assert caught.value.code == "task_input_invalid"
        without = await Deferring(services.people, Drafts({}))(caller(), ASKED, ROUTED, "rule")
        assert type(without) is Deferred and without.code == "task_deferred"
        assert len(services.people.list()) == 1
