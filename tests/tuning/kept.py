"""Kept outcomes of tunings on dev, of four items in three groups."""

from typing import Any

from appliance.tuning.dev_outcomes import DevOutcomes

ITEMS = ("i1", "i2", "i3", "i4")
GROUPS = ("g1", "g1", "g2", "g3")


def kept(model: str = "1110", *, classifier: str = "0100", **more: Any) -> DevOutcomes:
    """A digit for each item: 1 where it is right."""
    scores = {
        kind: tuple(1_000_000 * int(digit) for digit in digits)
        for kind, digits in (("classifier", classifier), ("model", model))
    }
    plain = {"data": "12" * 32, "split": "dev", "task": "licences", "rules": "ab" * 32,
             "items": ITEMS, "groups": GROUPS, "scores": scores}  # fmt: skip
    return DevOutcomes(**{**plain, **more})
