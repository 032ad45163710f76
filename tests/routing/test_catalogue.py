"""Available routes, and the certificates of their first stages."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.app import Services, open_services
from appliance.errors import PolicyRefused, TaskRefused
from appliance.facts import RouteFacts
from appliance.routing import catalogue
from appliance.routing.catalogue import KIND, ApprovedRoutes
from appliance.trust.bytes.directory import open_artifact
from tests.routing.world import LARGE_ID, ROUTE_ID, SMALL_ID, copied
from tests.smol import SMALL

pytestmark = pytest.mark.xdist_group("routes")


@pytest.fixture(scope="module")
def lab(route_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    data = copied(route_data, tmp_path_factory.mktemp("catalogue"))
    with open_services(data, config=SMALL) as services:
        yield services


def test_a_record_says_what_a_route_is(lab: Services) -> None:
    record = lab.store.inventory.record(ROUTE_ID)
    assert record.kind == KIND and not record.is_model and record.state == "approved"
    assert isinstance(record.facts, RouteFacts)
    assert record.facts.error_micros == record.facts.margin_micros == 100_000
    assert record.facts.delta_micros == 50_000
    assert [stage.task for stage in record.facts.stages] == [SMALL_ID, LARGE_ID]


def test_a_card_has_the_form_of_the_first_stage(lab: Services) -> None:
    (card,) = lab.routes.cards()
    assert lab.routes.card(ROUTE_ID) == card
    assert (card.id, card.form, card.kind) == (ROUTE_ID, "labels", "generate")
    assert lab.routes.card(SMALL_ID) is None
    assert lab.routes.card("nothing") is None


async def test_without_a_certificate_the_first_stage_answers_nothing(lab: Services) -> None:
    standing = await lab.routes.standing(ROUTE_ID)
    assert (standing.certificate, standing.function) == (None, None)
    assert standing.why == "route_not_certified"
    assert await lab.routes.standing(ROUTE_ID) is standing  # not looked up again at once
    lab.routes.forget()
    assert await lab.routes.standing(ROUTE_ID) is not standing


async def test_a_route_that_is_suspended_is_gone(lab: Services) -> None:
    record = lab.store.inventory.record(ROUTE_ID)
    lab.store.inventory.set_state(ROUTE_ID, "suspended")
    assert lab.routes.cards() == [] and lab.routes.card(ROUTE_ID) is None
    lab.store.inventory.save(record)
    assert lab.routes.card(ROUTE_ID) is not None


@pytest.mark.parametrize(
    ("room", "covered", "candidate", "refused"),
    [
        (False, False, "model", True),
        (False, True, "model", False),
        (True, False, "model", False),
        (False, False, "classifier", False),
    ],
)
def test_a_certificate_without_room_needs_a_host_without_company(
    room: bool, covered: bool, candidate: str, refused: bool
) -> None:
    facts = SimpleNamespace(candidate=candidate, model="m")
    inventory = SimpleNamespace(
        record_of=lambda task, kind: SimpleNamespace(facts=facts),
        record=lambda model: SimpleNamespace(digest="d"),
    )
    asked = list[str]()

    def covers(model: str) -> bool:
        asked.append(model)
        return covered

    store: Any = SimpleNamespace(inventory=inventory)
    certificate: Any = SimpleNamespace(
        wanted=SimpleNamespace(small="t"), found=SimpleNamespace(company=room)
    )
    unused: Any = None
    routes = ApprovedRoutes(store, unused, unused, unused, covers)
    for _ in range(2):
        with pytest.raises(PolicyRefused) if refused else nullcontext() as caught:
            routes._check_company(certificate)
        if caught is not None:
            assert caught.value.code == "route_certificate_other"
    assert asked == ["m"] * (candidate == "model" and not room)  # a file is read once


def test_a_directory_whose_route_breaks_its_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "route.toml").write_text('id = "x"')
    with open_artifact(tmp_path) as artifact, pytest.raises(TaskRefused) as caught:
        catalogue.vet(artifact)
    assert caught.value.code == "route_invalid"
