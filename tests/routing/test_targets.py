"""Targets of stages."""

from functools import partial
from typing import Any

import pytest

from appliance.errors import ApplianceError
from appliance.routing.definition import StageDefinition, parse
from appliance.routing.targets import StageTarget, Targets
from appliance.tasks.catalogue import CatalogueEntry, Drafts
from tests.routing.example import LARGE, ROUTE, UPSTREAM

SMALL_STAGE, LARGE_STAGE, HOST = parse((ROUTE + UPSTREAM).encode()).stages


class Known(Drafts):
    def __init__(self) -> None:
        super().__init__({})

    def entry(self, task_id: str) -> CatalogueEntry | None:
        known = task_id == "licences-large"
        return CatalogueEntry(task_id, "", "labels", LARGE) if known else None


async def start(caller: Any, request: Any, backends: Any = None) -> Any:
    raise AssertionError


def away(stage: StageDefinition, targets: Targets) -> bool:
    try:
        targets.resolve(stage, start)
    except ApplianceError as error:
        return error.code == "route_stage_away"
    return False


def test_a_task_of_the_store_answers_here() -> None:
    assert Targets(Known()).resolve(LARGE_STAGE, start) == StageTarget(start, "licences-large")


def test_a_task_that_is_missing_or_another_one_is_away() -> None:
    targets = Targets(Known())
    assert away(SMALL_STAGE, targets)
    other = StageDefinition("large", task="licences-large", digest="9" * 64)
    assert away(other, targets)


def test_an_upstream_answers_where_there_are_upstreams() -> None:
    assert away(HOST, Targets(Known()))
    hosts: Any = object()
    found = Targets(Known(), lambda stage: hosts).resolve(HOST, start)
    assert found.model == "gpu-1"
    assert isinstance(found.start, partial) and found.start.keywords == {"backends": hosts}


@pytest.mark.parametrize("kind", ["queue"])
def test_people_are_no_target(kind: Any) -> None:
    assert away(StageDefinition("people", kind=kind), Targets(Known()))
