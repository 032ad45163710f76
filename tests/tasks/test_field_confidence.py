"""Decisions of fields: owners of tokens, and reported figures."""

import json
import math

import pytest

from appliance.engine.logprobs import FLOOR
from appliance.tasks.definition import JsonForm
from appliance.tasks.field_confidence import decided
from appliance.tasks.schemas import ObjectSchema
from appliance.types import Decision
from tests.tasks import example

SCHEMA = ObjectSchema(example.SCHEMA)
VALUES, JSON = JsonForm("schema.json", "values"), JsonForm("schema.json")
LINES = "hosé\nleft\n1.5\n2\ntrue\nsays ok"


def at(offset: int, logprob: float = -1.0, **more: float) -> Decision:
    given = {"margin": 1.0, "entropy": 0.5, "mass": -0.1, **more}
    return Decision(offset, logprob, given["margin"], given["entropy"], given["mass"])


def names(output: JsonForm, text: str, *offsets: int) -> list[tuple[str, int]]:
    found = decided(output, SCHEMA, text, [at(offset) for offset in offsets])
    return [(field.name, field.tokens) for field in found]


def test_a_token_of_values_belongs_to_the_line_that_it_begins_in() -> None:
    """A line feed that ends a value is a decision of it; the end of the text, of the last."""
    size = len(LINES.encode())
    assert names(VALUES, LINES, 0, 3, 5, 6, 11, size) == [
        ("part", 3), ("side", 1), ("hours", 1), ("note", 1),
    ]  # fmt: skip


def test_a_token_of_json_belongs_to_the_value_that_ends_after_it() -> None:
    text = json.dumps({"part": "hosé", "hours": 1.5, "side": None}, ensure_ascii=False)
    places = [len(text[: text.index(some)].encode()) for some in ("hosé", '", "h', "1.5", ", ")]
    assert names(JSON, text, *places) == [("part", 3), ("hours", 1)]
    assert names(JSON, text, len(text.encode()) + 1) == [("side", 1)]


@pytest.mark.parametrize("text", ["", "{", '{"part"', '{"part":"ho', "[1]", "{}", '{"part":}'])
def test_of_a_text_that_is_not_whole_nothing_is_told(text: str) -> None:
    assert names(JSON, text, 0) == []


def test_what_is_told_of_a_field() -> None:
    logs = [-0.1, -0.2, -0.4, -0.8, -1.6]
    found = decided(
        VALUES, SCHEMA, LINES,
        [at(n, log, margin=n, entropy=n / 2, mass=-n) for n, log in enumerate(logs)],
    )  # fmt: skip
    (part,) = found
    assert (part.name, part.tokens, part.least) == ("part", 5, -1.6)
    assert part.mean == pytest.approx(-0.62)
    assert part.quantiles == pytest.approx((-1.28, -0.8, -0.4))
    assert (part.margin, part.entropy, part.mass) == (0, 2.0, -4.0)
    (part,) = decided(VALUES, SCHEMA, LINES, [at(0, -1.0, mass=-0.25), at(1, -0.5, mass=-0.1)])
    assert part.alike == pytest.approx(-1.15)  # what the form masks is never sampled


def test_what_is_no_number_counts_as_the_worst() -> None:
    odd = at(0, math.nan, margin=math.nan, entropy=math.inf, mass=-math.inf)
    (part,) = decided(VALUES, SCHEMA, LINES, [odd, at(-5, -1e300), at(1)])
    assert (part.least, part.margin, part.entropy, part.mass) == (FLOOR, 0.0, -FLOOR, FLOOR)
    assert math.isfinite(part.mean) and part.alike <= FLOOR
