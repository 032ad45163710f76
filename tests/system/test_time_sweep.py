"""Nothing under the body limit, in any field, takes more than two seconds of a core.

`SWEEP_CASES=0` sends every case; figures are in `tests/fuzz/README.md`.
"""

import itertools
import os
from pathlib import Path

import pytest

from tests.contract.conftest import EMBEDDER, RERANKER
from tests.system.time_sweep import (
    MOST_S,
    ROUTES,
    SHAPES,
    SLOW,
    cases,
    drawn,
    scene,
    sweep,
)


@pytest.fixture(scope="module")
def models(default_model_path: Path, embedder_path: Path, reranker_path: Path) -> dict[str, Path]:
    return {"smol": default_model_path, EMBEDDER: embedder_path, RERANKER: reranker_path}


def test_every_field_of_every_route_meets_every_shape() -> None:
    found = {(place, shape) for place, _, _, shape, _ in cases()}
    for route, (_, kind, _) in ROUTES.items():
        for name, shape in itertools.product(kind.model_fields, SHAPES):
            alias = kind.model_fields[name].alias or name
            assert (f"{route} {alias} %s", shape) in found


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
