"""The larger story: its route is one that can be read. `make tour MODELS=qwen` runs it."""

from appliance.routing import definition
from examples import tour_licences


def test_its_route_counts_copies_of_a_notice_once_and_asks_the_larger_model() -> None:
    digests = {"small_digest": "ab" * 32, "large_digest": "cd" * 32}
    text = tour_licences.ROUTE_FILE.format(id="licences", small="one", large="two", **digests)
    route = definition.parse(text.encode())
    assert (route.weight, [stage.task for stage in route.stages]) == ("groups", ["one", "two"])
