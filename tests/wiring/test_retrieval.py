"""Documents: their vectors are answers that end with those of apps."""

from typing import Any

from appliance.wiring.pool import PoolRoom
from appliance.wiring.retrieval import RetrievalRoom
from appliance.wiring.serving import ServingRoom


def test_vectors_are_under_way_with_the_answers_of_apps(
    pool: PoolRoom, serving: ServingRoom, retrieval: RetrievalRoom
) -> None:
    asks: Any = retrieval.retrieval
    assert asks._inference.under_way is serving.under_way
    names = {pool.jobs.kind(name).name for name in ("ingest", "tune-search")}
    assert names == {"ingest", "tune-search"}
