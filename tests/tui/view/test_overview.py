"""The overview's words."""

import pytest

from appliance.wire.admin.metering import UsageRow
from appliance.wire.admin.models import Model, Worker
from appliance.wire.admin.usage import CurrentLoad, Gpu
from tests.tui.scripted import WALL, WORKER, model, status
from tui.rates import RatePoint
from tui.ring import SPANS, Ring, Span
from tui.view import overview
from tui.view.expiry import Ending
from tui.view.units import iso


def test_rows_have_a_cell_for_each_column() -> None:
    for worker in (Worker.model_validate(WORKER), None):
        made = overview._model_row(Model.model_validate(model("m")), worker)
        assert len(made) == len(overview.MODEL_COLUMNS)


def test_an_engine_has_units_and_one_that_is_not_there_yet_has_none() -> None:
    pump = [model("pump", "serving", loaded=True)]
    shown = "\n".join(
        row.plain for row in overview.models(status(models=pump, workers=[WORKER]), 160)
    )
    for words in ("25 % of 4 096", "2/8", "250 MiB", "4711", "haswell"):
        assert words in shown
    starting = {**WORKER, "pid": None, "n_ctx": 0}
    found = overview.models(status(models=pump, workers=[starting]), 160)
    assert "0 % of 0" in found[1].plain


def test_a_refused_model_says_why_and_what_to_do() -> None:
    refused = model("m", "refused", code="file_changed", message="w differs.", hint="Copy it.")
    head, row, why = overview.models(status(models=[refused]), 80)
    assert "! refused" in row.plain and why.plain == "  why: file_changed: w differs. Copy it."
    assert "MODEL" in head.plain


@pytest.mark.parametrize(("width", "height"), [(52, 7), (75, 7), (105, 12), (140, 30)])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("span", SPANS)
def test_charts_have_an_axis_a_unit_the_time_and_the_room_that_there_is(
    width: int, height: int, plain: bool, span: Span
) -> None:
    points = [RatePoint(tokens=n, kv=0.5, ttft_p50=0.05, ttft_p95=0.2) for n in range(100)]
    ring = Ring()
    for n, point in enumerate(points):
        ring.add(point, WALL - 600 * (len(points) - 1 - n))
    made = overview.serving(points, ring, span, WALL, width, height, ascii_only=plain)
    shown = "\n".join(row.plain for row in made)
    for words in ("tok/s", "0 running, 0 waiting", "100 tok/s", "0 tok/s"):
        assert words in shown, words
    begin = {"2 min": "2 min ago", "1 h": "11:26", "1 d": "12:26", "30 d": "10-19"}[span.name]
    assert begin in shown
    assert all(row.cell_length <= width for row in made) and len(made) <= max(height, 7)
    assert not plain or shown.isascii()
    assert ("first token, p95" in shown) is (height == 30)  # four charts where there is room


def test_a_host_that_wobbles_by_a_percent_draws_the_same() -> None:
    made = [
        overview.host(status(), None, [RatePoint(host_cpu=cpu)], 80, ascii_only=False)
        for cpu in (0.50, 0.51, 0.60)
    ]
    plain = ["\n".join(row.plain for row in shown) for shown in made]
    assert plain[0] == plain[1] != plain[2]


def test_each_gpu_is_shown_with_its_memory() -> None:
    gpu = Gpu(name="H100", memory=80 << 30, memory_used=8 << 30, busy_percent=40)
    load = CurrentLoad(at=1, server="s", gpus=[gpu])
    shown = "\n".join(row.plain for row in overview.host(status(), load, [], 80, ascii_only=True))
    assert "8.0 GiB of 80.0 GiB" in shown and "40 % busy" in shown and "H100" in shown


def test_what_waits_for_a_person_has_the_key_that_leads_there() -> None:
    ends = Ending(iso(WALL + 21 * 86_400), "key", "triage", "Keys")
    later = Ending(iso(WALL + 40 * 86_400), "key", "later", "Keys")
    waits = overview.PeopleWanted(people=3, oldest=720.0, labels=1, failed=1, endings=(ends, later))
    bad = model("valve", "refused")
    new = model("pump", "verified")
    said = overview.needs(status(models=[bad, new]), waits, WALL, 60)
    shown = [" ".join(row.plain.split()) for row in said]
    assert shown == [
        "! 3 answers for a person, oldest 12 min p",
        "! 1 artifact unusable: valve 2",
        "! 1 job failed today 6",
        "! key triage expires in 21 d x",
        "1 artifact to approve: pump 2",
        "1 queue to label t",
    ]
    (calm,) = overview.needs(status(), overview.PeopleWanted(), WALL, 60)
    assert calm.plain == "+ ok nothing waits for a person"


def test_who_asked_how_much_is_there_with_what_failed() -> None:
    rows = [
        UsageRow(period="p", name=name, requests=n, answers=n, failed=n % 2, prompt_tokens=10,
                 completion_tokens=5, seconds=1.0)
        for n, name in enumerate("abcdefgh", 1)
    ]  # fmt: skip
    head, first, *_, more = overview.apps(
        overview.PeopleWanted(apps=tuple(rows)), 70, ascii_only=True
    )
    assert first.plain.split()[:4] == ["h", "8", "0", "15"] and more.plain == "2 more: u"
    assert "#" * 12 in first.plain and "REQUESTS" in head.plain
    (none,) = overview.apps(overview.PeopleWanted(), 70, ascii_only=True)
    assert none.plain == "No requests in the last hour."


def test_a_log_that_cannot_be_written_is_named() -> None:
    first, *_, last = overview.audit(status(), 80)
    assert first.plain.startswith("+ ok  writable  1 entry") and last.plain == "root  00"
    latched = status(audit={"entries": 1, "root": "00", "latched": "disk full"})
    assert overview.audit(latched, 80)[0].plain.startswith("! refusing  disk full")
    assert [row.plain for row in overview.alarms(status(alarms=["a"]))] == ["! a"]
    incident = {
        "code": "c", "level": "warning", "message": "a", "next": "do it", "since": "2026-11-29",
    }  # fmt: skip
    (shown,) = overview.alarms(status(alarms=["a"], incidents=[incident]))
    assert shown.plain == "! a  do it"
    told = [row.plain for row in overview.alarms(status(alarms=list("abcde")))]
    assert told == ["! 5 alarms, the first 4; i has all", "! a", "! b", "! c", "! d"]
