"""Answers as labels, for candidates that know only labels. Pure.

Rules: a label or a text is one part, an object is one part for each of its fields; a value is
written as JSON, so that `null` and a missing field differ.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from appliance.datasets.items import Item
from appliance.evals.scoring import canonical

WHOLE: Final = ""
"""The name of the only part of an answer that is no object."""
_ABSENT: Final = ""
"""The label of a field that is left out; no JSON text is empty."""


def parts(items: Sequence[Item]) -> dict[str, list[str]]:
    """Labels by part, one an item."""
    if not any(isinstance(item.expected, Mapping) for item in items):
        return {WHOLE: [item.label for item in items]}
    objects = [item.expected if isinstance(item.expected, Mapping) else {} for item in items]
    names = sorted({name for each in objects for name in each})
    return {
        name: [canonical(each[name]) if name in each else _ABSENT for each in objects]
        for name in names
    }


def joined(labels: Mapping[str, str]) -> str:
    """The answer whose parts have these labels."""
    if WHOLE in labels:
        return labels[WHOLE]
    return canonical({name: json.loads(text) for name, text in labels.items() if text != _ABSENT})
