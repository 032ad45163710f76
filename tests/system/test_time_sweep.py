"""Nothing under the body limit, in any field, takes more than two seconds of a core.

`SWEEP_CASES=0` sends every case; figures are in `tests/fuzz/README.md`.
"""

import itertools
import os
import re
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from appliance.api import people_page
from appliance.api.app import DOCUMENTATION, create_lan_app
from appliance.app import initialise, open_services
from appliance.config import parse_config
from tests.contract.conftest import EMBEDDER, RERANKER
from tests.system.time_sweep import (
    LISTENER,
    MOST_S,
    SHAPES,
    SLOW,
    bodies,
    cases,
    drawn,
    everything_on,
    places,
    scene,
    sweep,
)


@pytest.fixture(scope="module")
def models(default_model_path: Path, embedder_path: Path, reranker_path: Path) -> dict[str, Path]:
    return {"smol": default_model_path, EMBEDDER: embedder_path, RERANKER: reranker_path}


def test_every_field_of_every_route_meets_every_shape() -> None:
    found = {(place.name, shape) for place, shape, _ in cases()}
    for route, (_, kind, _) in bodies().items():
        for name, shape in itertools.product(kind.model_fields, SHAPES):
            alias = kind.model_fields[name].alias or name
            assert (f"{route} {alias} %s", shape) in found


NO_VALUE = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/ca.pem"), ("GET", "/v1/models"),
    ("GET", "/v1/queue"), ("GET", "/v1/labels"), ("DELETE", "/v1/sessions"),
    ("DELETE", "/v1/sessions/this"),
}  # fmt: skip
"""Routes that read neither an address nor a body; headers are swept at one route."""
STATIC = DOCUMENTATION | set(people_page.PATHS) | {None}


def test_no_route_of_the_app_is_left_out(tmp_path: Path) -> None:
    """A new route is swept, or it says above that it takes nothing."""
    hole = re.compile(r"%s|%25s|{[^}]*}")
    made = ((place.method, place.make("%s")[0].partition("?")[0]) for place in places())
    swept = {(method, hole.sub("*", path)) for method, path in made}
    initialise(tmp_path / "data", "lab")
    config = parse_config(f"[server]\n{LISTENER}{everything_on()}")
    with open_services(tmp_path / "data", config=config) as services:
        there = {
            (method, hole.sub("*", str(one.path)))
            for one in iter_route_contexts(create_lan_app(services).routes)
            for method in one.methods or ()
            if one.path not in STATIC
        }
    assert there - swept == NO_VALUE
    assert swept <= there


def test_the_largest_case_is_almost_as_large_as_a_body_may_be() -> None:
    largest = max(len(case.body) for case in drawn(60, 3))
    assert (4 << 20) - 100_000 < largest <= 4 << 20


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_no_case_takes_more_than_two_seconds_of_a_core(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    with scene(tmp_path, models) as server:
        seen = sweep(server, drawn(int(os.environ.get("SWEEP_CASES", "400")), 1))
    assert seen.most <= MOST_S, seen
    assert not seen.failed, seen


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_server_that_reads_in_quadratic_time_is_found(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    with scene(tmp_path, models, SLOW) as server:
        seen = sweep(server, drawn(5, 1))
    assert seen.most > MOST_S, seen
