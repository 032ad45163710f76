"""Items that could not be asked, for a reason of ours; too many prevent a verdict."""

from collections.abc import Mapping
from typing import Final

MOST_UNASKED: Final = 0.02
"""Share of the items of either side that may have no answer for a reason of ours."""
OURS: Final = frozenset(
    {
        "worker_lost", "key_quarantined", "rate_limit_exceeded", "place_waited", "model_loading",
        "model_suspended", "model_unavailable", "route_stage_away", "upstream_busy",
        "upstream_certificate", "upstream_denied", "upstream_incomplete", "upstream_invalid",
        "upstream_lost", "upstream_redirect", "upstream_timeout", "upstream_tripped",
        "upstream_unavailable",
    }
)  # fmt: skip
"""Codes of failures that are not the answerer's."""
ERASED: Final = "erased"
"""The failure of an item that was erased before it had its label."""
UNCOUNTED: Final = OURS | {ERASED}
"""Failures of items that count on neither side."""


def interruption(lost: Mapping[str, int], items: int) -> str:
    """A sentence where too many items could not be asked; "" where they were.

    Args:
        lost: how many, by who should have answered.
        items: the number that each should have answered.
    """
    if max(lost.values()) <= MOST_UNASKED * items:
        return ""
    told = ", ".join(f"{count} of {items} items of {name}" for name, count in lost.items())
    return f"Could not be asked: {told}."
