"""Seconds of a larger stage that are avoided: the share and its interval."""

from pathlib import Path

import pytest

from appliance.datasets.items import Item
from appliance.routing.certifying import Observed
from appliance.tasks.definition import parse
from benchmarks import route_seconds, tuned
from benchmarks.route_seconds import Answers, Asked, Data
from benchmarks.servers import BenchError
from examples.demo import MODEL_ID


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


def test_a_run_that_made_an_offer_gives_the_first_stage(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="made an offer"):
        route_seconds.tuned(tmp_path)
    (tmp_path / "offered").mkdir()
    example = tuned.EXAMPLES["licences"]
    text = tuned.definition(
        "licences", example, ["mit", "gpl-2.0"], (f"{MODEL_ID}:licences", "1" * 64)
    )
    (tmp_path / "offered" / "task.toml").write_text(text)
    run = route_seconds.tuned(tmp_path)
    alone = parse(run.text("model").encode())
    both = parse(run.text("blend", 0.3).encode())
    assert (alone.candidate.kind, alone.candidate.digest) == ("model", "1" * 64)
    assert (both.candidate.kind, both.candidate.weight) == ("blend", 0.3)
    assert alone.candidate.model == both.candidate.model == f"{MODEL_ID}:licences"
    assert alone.prompt == both.prompt and "[:450]" in both.prompt.user


def answered(count: int, wrong: int) -> tuple[tuple[Item, ...], Answers]:
    """Each in its own group; the first of them are answered wrong, with less confidence."""
    items = tuple(Item(f"i{count}-{n}", f"g{n}", {"text": "x"}, "a") for n in range(count))
    shares = [0.4 if n < wrong else 0.6 + 0.3 * n / count for n in range(count)]
    return items, {i.id: ({"a": s, "b": 1 - s}, 5) for i, s in zip(items, shares, strict=True)}


def test_a_threshold_is_certified_on_what_the_first_stage_gave() -> None:
    dev, known = answered(300, 60)
    drawn, seen = answered(600, 120)
    found = route_seconds.certified(Data((), dev, drawn), {**known, **seen})
    assert found.verdict.certified and 0.6 < found.verdict.coverage <= 0.85
    bad, others = answered(301, 301)
    with pytest.raises(BenchError):
        route_seconds.certified(Data((), bad, drawn), {**others, **seen})
