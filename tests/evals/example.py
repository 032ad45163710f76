"""Outcomes of made-up candidates: 60 groups of 2 items."""

from appliance.evals.outcomes import Outcome


def outcomes(right: int, *, of: int = 120, seconds: float = 0.01, start: int = 0) -> list[Outcome]:
    """Right answers in groups of two; items from `start` on are right first."""
    return [
        Outcome(
            item=f"i{number:03}",
            group=f"g{number // 2}",
            expected="a",
            answer="a" if (number - start) % of < right else "b",
            micros=1_000_000 if (number - start) % of < right else 0,
            microseconds=int(seconds * 1e6),
            tokens=1,
            stratum="north" if number % 3 else "south",
            confidence_micros=900_000,
        )
        for number in range(of)
    ]
