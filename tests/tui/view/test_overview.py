"""What the overview says."""

import pytest

from appliance.wire.admin.models import Model, Worker
from appliance.wire.admin.usage import CurrentLoad, Gpu
from tests.test_client import STATUS
from tests.tui.scripted import WORKER, model, status
from tui.rates import RatePoint
from tui.view import overview


def test_rows_have_a_cell_for_each_column() -> None:
    assert len(overview.worker_row(Worker.model_validate(WORKER))) == len(overview.WORKER_COLUMNS)
    made = overview._model_row(Model.model_validate(model("m")))
    assert len(made) == len(overview.MODEL_COLUMNS)


def test_a_worker_has_units_and_one_that_is_not_there_yet_has_none() -> None:
    shown = "\n".join(row.plain for row in overview.workers(status(workers=[WORKER]), 160))
    for words in ("25% of 4 096", "2/8", "250 MiB", "4711", "haswell"):
        assert words in shown
    starting = {**WORKER, "pid": None, "n_ctx": 0}
    assert "0% of 0" in overview.workers(status(workers=[starting]), 160)[1].plain


def test_a_refused_model_says_why_and_what_to_do() -> None:
    refused = model("m", "refused", code="file_changed", message="w differs.", hint="Copy it.")
    head, row, why = overview.models(status(models=[refused]), 80)
    assert "! refused" in row.plain and why.plain == "  why: file_changed: w differs. Copy it."
    assert "MODEL" in head.plain


@pytest.mark.parametrize("width", [56, 77, 110, 197])
@pytest.mark.parametrize("plain", [False, True])
def test_charts_have_units_and_the_room_that_there_is(width: int, plain: bool) -> None:
    points = [RatePoint(tokens=n, kv=0.5, ttft_p50=0.05, ttft_p95=0.2) for n in range(100)]
    load = CurrentLoad(
        at=1, server="s", gpus=[Gpu(name="H100", memory=80 << 30, memory_used=8 << 30)]
    )
    made = overview.gauges(points, load, width, 1, ascii_only=plain)
    shown = "\n".join(row.plain for row in made)
    for words in ("99.0 tok/s", "50%", "p50 50 ms p95 200 ms", "8.0 GiB of 80.0 GiB", "CPU host"):
        assert words in shown, words
    assert all(row.cell_length <= width for row in made)
    assert not plain or shown.isascii()
    assert len(made) == (8 if width < 110 else 4)


def test_a_host_that_wobbles_by_a_percent_draws_the_same() -> None:
    made = [
        overview.gauges([RatePoint(host_cpu=cpu)] * 50, None, 80, 1, ascii_only=False)
        for cpu in (0.50, 0.51, 0.60)
    ]
    plain = ["\n".join(row.plain for row in shown) for shown in made]
    assert plain[0] == plain[1] != plain[2]


def test_the_host_section_begins_with_the_host_and_its_address() -> None:
    host = {**STATUS["host"], "name": "plant-7"}
    first = overview.host(status(url="http://127.0.0.1:8181", host=host))[0].plain
    assert first == "host plant-7  listens on http://127.0.0.1:8181"
    stopped = overview.host(status(url="http://127.0.0.1:8181", host=host, state="stopped"))[0]
    assert "will listen on http://127.0.0.1:8181" in stopped.plain


def test_a_log_that_cannot_be_written_is_named() -> None:
    first, second = overview.audit(status())
    assert first.plain.startswith("+ ok  writable  1 entries") and second.plain == "root  00"
    latched = status(audit={"entries": 1, "root": "00", "latched": "disk full"})
    assert overview.audit(latched)[0].plain.startswith("! refusing  disk full")
    assert [row.plain for row in overview.alarms(status(alarms=["a"]))] == ["! a"]
    incident = {
        "code": "c", "level": "warning", "message": "a", "next": "do it", "since": "2026-11-29",
    }  # fmt: skip
    (shown,) = overview.alarms(status(alarms=["a"], incidents=[incident]))
    assert shown.plain == "! a  do it"
    told = [row.plain for row in overview.alarms(status(alarms=list("abcde")))]
    assert told == ["! 5 alarms, the first 4; appliance status has all", "! a", "! b", "! c", "! d"]
    assert "memory" in overview.host(status())[1].plain
