"""`route.toml`: what is accepted, and that everything else is refused by name."""

import pytest

from appliance.errors import TaskRefused
from appliance.routing.definition import MAX_BYTES, parse
from tests.routing.example import QUEUE, ROUTE, RULES, UPSTREAM

QUEUED = ROUTE.replace("[terms]", 'on_defer = "queue"\n[terms]')


def test_a_route_reads_as_it_was_written() -> None:
    route = parse((QUEUED + UPSTREAM + QUEUE + RULES).encode())
    assert [stage.name for stage in route.stages] == ["small", "large", "host", "people"]
    assert route.small.task == "licences-small"
    assert [stage.name for stage in route.larger] == ["large", "host"]
    assert route.queue is not None
    assert route.queue.hours == 8
    assert (route.terms.error, route.terms.delta, route.terms.margin) == (0.05, 0.05, 0.05)
    assert (route.stages[1].seconds, route.stages[1].at_once) == (30, 2)
    assert route.rules[0].longer_than == 20
    assert not route.small.p_true
    asked = ROUTE.replace('name = "small"', 'name = "small"\np_true = true')
    assert parse(asked.encode()).small.p_true


def test_without_people_and_larger_stages_there_is_a_refusal_alone() -> None:
    route = parse(ROUTE[: ROUTE.rindex("[[stages]]")].encode())
    assert (route.on_defer, route.larger, route.queue) == ("error", (), None)
    assert route.on_drift == "suspend"
    assert parse(('on_drift = "warn"\n' + ROUTE).encode()).on_drift == "warn"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (ROUTE.replace("error = 0.05", "error = 0.05\nslack = 1"), "slack"),
        (ROUTE.replace("error = 0.05", "error = 0"), "$.terms.error"),
        (ROUTE.replace("error = 0.05", "error = 0.05\ndelta = 0.5"), "$.terms.delta"),
        (ROUTE.replace('digest = "1', 'digest = "x'), "$.stages[0].digest"),
        (ROUTE.replace("seconds = 30", "seconds = 0"), "$.stages[1].seconds"),
        (ROUTE.replace("seconds = 30", "p_true = true"), "p_true is for the first stage"),
        (ROUTE.replace('name = "small"', 'name = "small"\np_true = 3'), "$.stages[0].p_true"),
        (ROUTE.replace('task = "licences-large"\n', ""), "go together"),
        (ROUTE.replace('name = "large"', 'name = "small"'), "one name"),
        (ROUTE.replace('name = "large"', 'name = "defer"'), "called defer"),
        (ROUTE.replace("licences-large", "licences-small").replace("2" * 64, "1" * 64), "the same"),
        (ROUTE.replace("at_once", 'upstream = "gpu-1"\nat_once'), "has no upstream"),
        (ROUTE + UPSTREAM.replace('model = "qwen"\n', ""), "needs model"),
        (ROUTE + QUEUE, "go together"),
        (QUEUED, "go together"),
        (QUEUED + QUEUE + UPSTREAM, "the last"),
        (
            QUEUED + QUEUE.replace("hours", 'task = "t"\ndigest = "' + "3" * 64 + '"\nhours'),
            "no ta",
        ),
        (ROUTE.replace('name = "small"', 'name = "small"\nkind = "upstream"'), "needs upstream"),
        (ROUTE + RULES.replace('to = "large"', 'to = "small"'), "sends to small"),
        (ROUTE + RULES.replace('to = "large"', 'to = "huge"'), "sends to huge"),
        (ROUTE + RULES.replace('scripts = ["latin"]', ""), "no condition"),
        (ROUTE + RULES.replace('"latin"', '"klingon"'), "$.rules[1].scripts"),
        (ROUTE[: ROUTE.index("[[stages]]")], "stages"),
        ('on_drift = "never"\n' + ROUTE, "$.on_drift"),
        ('weight = "groups"\n' + ROUTE, "group_from"),
        ('weight = "days"\ngroup_from = "key"\n' + ROUTE, "$.weight"),
        ("id = ", "Invalid value"),
        ("x" * (MAX_BYTES + 1), "bytes"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(text: str, place: str) -> None:
    with pytest.raises(TaskRefused) as caught:
        parse(text.encode())
    assert caught.value.code == "route_invalid"
    assert place in caught.value.message


def test_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(TaskRefused, match="UTF-8"):
        parse(b"\xff")


def test_an_upstream_cannot_be_the_certified_stage() -> None:
    with pytest.raises(TaskRefused, match="first stage is a task"):
        parse((ROUTE[: ROUTE.index("[[stages]]")] + UPSTREAM).encode())


def test_a_route_says_what_counts_alike() -> None:
    assert (parse(ROUTE.encode()).weight, parse(ROUTE.encode()).group_from) == ("answers", "")
    for head in ('weight = "groups"\n', 'weight = "answers"\n', ""):
        assert parse(f'{head}group_from = "notice"\n{ROUTE}'.encode()).group_from == "notice"
