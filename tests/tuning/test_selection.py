"""The recommended file: the smallest that passes."""

from appliance.engine.quantized import FileComparison
from appliance.evals.outcomes import Outcome
from appliance.tuning.selection import MOST_KLD, Made, PickVerdict, judged, ranks, recommended, told


def outcomes(wrong: int, count: int = 80) -> tuple[Outcome, ...]:
    """Groups of one item; the first ones are wrong."""
    return tuple(
        Outcome(f"i{n}", f"g{n}", "a", "b" if n < wrong else "a", 0 if n < wrong else 10**6, 1)
        for n in range(count)
    )


def row(name: str, size: int, kld: float, wrong: int = 0, count: int = 80) -> PickVerdict:
    compared = FileComparison(1.0, 1.0 + kld, kld, 0.0, 0.9, 1000)
    made = Made(name, size << 20, 100.0, compared, outcomes(wrong, count))
    return judged(made, outcomes(0, count), 0.05, MOST_KLD)


def test_the_smallest_that_passes_is_recommended() -> None:
    rows = [row("Q8_0", 140, 0.002), row("Q4_K_M", 100, 0.03), row("Q4_0", 90, 0.03, wrong=40)]
    assert [r.verdict for r in rows] == ["pass", "pass", "fail"]
    assert recommended(rows) == "Q4_K_M" and rows[2].flips == 0.5 and rows[2].reason
    assert recommended([rows[2]]) is None


def test_another_model_fails_whatever_the_task_shows() -> None:
    bad, broken = row("Q2_K", 80, 0.46), row("Q3_K_S", 85, float("nan"))
    assert bad.verdict == broken.verdict == "fail" and bad.flips == 0
    assert "0.460 nats" in bad.reason and recommended([bad, broken]) is None


def test_too_few_groups_pass_nothing() -> None:
    few = row("Q8_0", 140, 0.001, count=30)
    assert few.verdict == "underpowered" and few.missing and recommended([few]) is None


def test_what_lies_within_the_noise_has_no_rank() -> None:
    rows = [row("Q8_0", 140, 0.002), row("Q6_K", 120, 0.004), row("Q4_0", 90, 0.05)]
    assert ranks(rows) == {"Q8_0": None, "Q6_K": None, "Q4_0": 3}
    table = told(rows)
    assert [r.rank for r in table] == [None, None, 3]
    assert table[0].mib == 140.0 and table[0].metric == 1.0
