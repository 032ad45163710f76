"""The stage of an input."""

import msgspec
import pytest

from appliance.routing.definition import RouteRule, parse
from appliance.routing.rules import holds, reaches, stages_for, unclaimed
from tests.routing.example import ROUTE, RULES


@pytest.mark.parametrize(
    ("notice", "stages"),
    [
        ("a short notice", ["small", "large"]),
        ("a notice that is too long", ["large"]),
        ("короткий", []),
        ("под MIT", []),
        ("12345 / 67", ["small", "large"]),
        ("mostly latin letters, one Ж", ["large"]),  # the first rule that holds decides
    ],
)
def test_the_first_rule_that_holds_decides(notice: str, stages: list[str]) -> None:
    route = parse((ROUTE + RULES).encode())
    found = stages_for(route, {"notice": notice}, "app")
    assert [stage.name for stage in found] == stages


def test_without_rules_the_first_stage_is_asked() -> None:
    route = parse(ROUTE.encode())
    assert stages_for(route, {"notice": "x" * 1000}, "app") == route.stages


def test_nothing_is_claimed_for_a_key_that_a_rule_looks_at_beside_the_input() -> None:
    alone = '[[rules]]\nto = "large"\nkeys = ["batch"]\n'
    beside = '[[rules]]\nto = "large"\nkeys = ["desk"]\ncontains = ["recall"]\n'
    route = parse((ROUTE + alone + beside).encode())
    assert unclaimed(route) == {"desk"}
    for text, key, first in (
        ("recall", "desk", "large"),
        ("easy", "desk", "large"),
        ("easy", "batch", "large"),
        ("recall", "app", "small"),
    ):
        assert stages_for(route, {"notice": text}, key)[0].name == first
    assert reaches(route, {"notice": "recall"})


@pytest.mark.parametrize(
    ("rule", "held"),
    [
        (RouteRule("defer", contains=("Recall",)), True),
        (RouteRule("defer", contains=("recall",), field="title"), False),
        (RouteRule("defer", contains=("recall", "pump"), field="title"), True),
        (RouteRule("defer", keys=("app",)), True),
        (RouteRule("defer", keys=("another",)), False),
        (RouteRule("defer", keys=("another",), contains=("recall",)), False),
        (RouteRule("defer", longer_than=11), True),
        (RouteRule("defer", longer_than=12), False),
        (RouteRule("defer", longer_than=0, field="missing"), False),
        (RouteRule("defer", scripts=("latin",)), False),
        (RouteRule("defer", scripts=("cyrillic", "greek")), True),
    ],
)
def test_all_conditions_of_a_rule_must_hold(rule: RouteRule, held: bool) -> None:
    sent = {"title": "pump", "text": "RECALL!"}
    assert holds(rule, sent, "app") is held


def test_scripts_are_read_all_over_a_long_text() -> None:
    rule = RouteRule("defer", scripts=("latin",))
    assert holds(rule, {"text": "a" * 50_000 + "ж" * 50_000}, "")
    assert not holds(rule, {"text": "a" * 100_000 + "ж"}, "")


def test_every_script_that_a_rule_may_name_is_found() -> None:
    letters = "aжαعא漢ひカ한हไ"
    scripts = msgspec.json.schema(RouteRule)["$defs"]["RouteRule"]["properties"]["scripts"][
        "items"
    ]["enum"]
    for letter in letters:
        (only,) = [
            s for s in scripts if not holds(RouteRule("defer", scripts=(s,)), {"t": letter}, "")
        ]
        assert only in scripts
    assert len(letters) == len(scripts)
