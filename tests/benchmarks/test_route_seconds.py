"""Seconds of a larger stage that are avoided: the share, its interval, and what stages did."""

import pytest

from appliance.datasets.items import Item
from appliance.routing.certifying import Observed
from benchmarks import route_seconds
from benchmarks.route_seconds import Asked


def seen(number: int, small_us: int, larger_us: int) -> Observed:
    return Observed(f"i{number}", f"g{number}", "", None, True, True, small_us, larger_us)


def test_the_share_is_of_seconds_and_pays_for_the_first_stage() -> None:
    """Two long items are not accepted: half of the items, and less of the seconds."""
    rows = [seen(0, 10, 100), seen(1, 10, 100), seen(2, 10, 300), seen(3, 10, 300)]
    found = route_seconds.avoided(rows, [True, True, False, False])
    assert found.median == pytest.approx((200 - 40) / 800)
    assert found.low < found.median < found.high
    assert found == route_seconds.avoided(rows, [True, True, False, False])
    nothing = route_seconds.avoided(rows, [False] * 4)
    assert nothing.median == pytest.approx(-40 / 800)
    equal = [seen(n, 0, 100) for n in range(200)]
    wide = route_seconds.avoided(equal, [n % 4 > 0 for n in range(200)])
    assert (wide.low, wide.high) == pytest.approx((0.69, 0.81), abs=0.02)  # as of a binomial share


def test_a_blend_is_between_its_stages() -> None:
    asked = Asked(
        Item("i", "g", {"text": "x"}, "b"), {"a": 0.6, "b": 0.4}, 1, {"a": 0.2, "b": 0.8}, 9
    )
    assert route_seconds.blend(asked, 0) == pytest.approx(dict(asked.small))
    assert route_seconds.blend(asked, 1) == pytest.approx(dict(asked.large))
    found = route_seconds.observed(asked, route_seconds.blend(asked, 0.5))
    assert (found.small, found.larger, found.small_us, found.larger_us) == (False, True, 1, 9)
    assert found.features is not None and found.group == "g"
    assert route_seconds.weight_of([asked] * 4) == 1  # the larger stage alone is right
