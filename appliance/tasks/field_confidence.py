"""Confidence in each field of an answer, from the token-by-token decisions. Pure.

Rules:
- A decision belongs to the first field that ends after it begins. A token without an alternative in
  the schema is no decision.
- Numbers come from a confined process that is not trusted: any non-number counts as the worst.
"""

import itertools
import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from appliance.engine.logprobs import FLOOR
from appliance.tasks.definition import JsonForm
from appliance.tasks.schemas import ObjectSchema
from appliance.types import Decided, Decision

QUANTILES: Final = (0.1, 0.25, 0.5)
_DECODER: Final = json.JSONDecoder()

Ends: TypeAlias = Sequence[tuple[str, int]]
"""Each field that was written and the byte after its end, in the order of the text."""


def decided(
    output: JsonForm, schema: ObjectSchema, text: str, decisions: Sequence[Decision]
) -> tuple[Decided, ...]:
    """In the order of the text.

    Args:
        text: of the model, as `decisions` count its bytes; an incomplete text reports nothing.
    """
    try:
        ends = _lines(schema, text) if output.encoding == "values" else _members(text)
    except (ValueError, IndexError, RecursionError):
        return ()
    places = [end for _, end in ends]
    found: dict[int, list[Decision]] = {}
    if not ends:
        return ()
    for decision in decisions:
        place = min(bisect_right(places, decision.offset), len(ends) - 1)
        found.setdefault(place, []).append(decision)
    return tuple(_field(ends[place][0], some) for place, some in sorted(found.items()))


def _field(name: str, decisions: Sequence[Decision]) -> Decided:
    logs = [_finite(decision.logprob) for decision in decisions]
    low, quarter, half = (float(value) for value in np.quantile(logs, QUANTILES))
    return Decided(
        name,
        len(logs),
        min(logs),
        math.fsum(logs) / len(logs),
        (low, quarter, half),
        min(_finite(decision.margin, 0.0) for decision in decisions),
        max(_finite(decision.entropy, -FLOOR) for decision in decisions),
        min(_finite(decision.mass) for decision in decisions),
        math.fsum(min(0.0, _finite(decision.logprob - decision.mass)) for decision in decisions),
    )


def _finite(value: float, worst: float = FLOOR) -> float:
    return min(max(value, FLOOR), -FLOOR) if math.isfinite(value) else worst


def _lines(schema: ObjectSchema, text: str) -> Ends:
    """Fields of the encoding `values`, each ended by its line feed."""
    sizes = [len(line.encode()) + 1 for line in text.split("\n")]
    return list(zip(schema.names, itertools.accumulate(sizes), strict=False))


def _members(text: str) -> Ends:
    """Raises ValueError or IndexError: it is no JSON object."""
    found: list[tuple[str, int]] = []
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        found.append((name, len(text[: at + 1].encode())))
        at = _skip(text, at + (text[at] == ","))
    return found


def _skip(text: str, at: int) -> int:
    while text[at].isspace():
        at += 1
    return at
