"""A status as words and rows."""

import pytest

from appliance.errors import ApplianceError, Refused
from appliance.wire.admin import Model, Worker
from tests.tui.scripted import DOWN, WORKER, status
from tui import view
from tui.link import Link
from tui.text import Cell, line


def words(parts: list[Cell]) -> str:
    return line(*parts).plain


def test_the_headline_names_profile_state_and_role() -> None:
    said = words(view.headline(status(uptime_seconds=3_700), readonly=False))
    assert said == "appliance 9  LAB  - idle  up 1 h 1 min  you: viewer"
    assert "read-only" in words(view.headline(status(), readonly=True))


def test_a_second_changes_nothing() -> None:
    before, after = status(uptime_seconds=61), status(uptime_seconds=62)
    said = [words(view.headline(found, readonly=False)) for found in (before, after)]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "<1 min"), (60, "1 min"), (3_600, "1 h"), (90_061, "1 d 1 h")]
)
def test_a_time_span_has_two_units(seconds: int, shown: str) -> None:
    assert view.duration(seconds) == shown


def test_a_refused_model_says_why_and_what_to_do() -> None:
    refused = Model(
        id="m", state="refused", digest="ab" * 32, code="file_changed", message="w.gguf differs.",
        hint="Copy it again.",
    )  # fmt: skip
    row = view.model_row(refused)
    assert row.why == "file_changed: w.gguf differs. Copy it again."
    assert line(*row.cells).plain == "m  ! refused  no  abababababababab  -"
    assert view.model_row(Model(id="m", state="approved", digest=None)).why == ""


def test_rows_have_a_cell_for_each_column() -> None:
    worker = view.worker_row(Worker.model_validate(WORKER))
    assert line(*worker).plain == ("pump  + ready  4711  25% of 4096  2/8  3  1  250 MiB  haswell")
    assert len(worker) == len(view.WORKER_COLUMNS)
    model = view.model_row(Model(id="m", state="approved", digest=None))
    assert len(model.cells) == len(view.MODEL_COLUMNS)


def test_a_worker_that_is_not_there_yet() -> None:
    worker = view.worker_row(Worker.model_validate({**WORKER, "pid": None, "n_ctx": 0}))
    assert line(*worker).plain.startswith("pump  + ready  -  0% of 0")


def test_a_log_that_cannot_be_written_is_named() -> None:
    first, second = view.audit_lines(status())
    assert line(*first).plain == "+ ok  writable  1 entries"
    assert line(*second).plain == "root 00"
    latched = status(audit={"entries": 1, "root": "00", "latched": "disk full"})
    assert line(*view.audit_lines(latched)[0]).plain == "! refusing  disk full  1 entries"


def test_the_host_has_units() -> None:
    host = {**status().host.model_dump(), "memory": 3 << 30, "memory_available": 1 << 30}
    (_, free, data) = view.host_lines(status(host=host))
    assert line(*free).plain == "1.0 GiB of 3.0 GiB memory free  0.0 GiB disk free"
    assert line(*data).plain == "data /d"


def test_a_live_link_needs_no_words() -> None:
    link = Link().succeeded(status(), 100)
    assert words(view.link_words(link, 101)) == "+ LIVE"
    assert view.trouble(link, 101, "/d") == []


def test_a_slow_server_is_named_with_the_age() -> None:
    link = Link().succeeded(status(), 100)
    assert words(view.link_words(link, 114)) == "~ STALE  data 14 s old"
    assert view.trouble(link, 114, "/d") == ["The server takes long to answer."]


@pytest.mark.parametrize(
    ("error", "advice"),
    [(DOWN, "Next: appliance serve --data /d"), (Refused("forbidden", "no"), "")],
)
def test_trouble_has_reason_hint_and_next_command(error: ApplianceError, advice: str) -> None:
    said = view.trouble(Link().failed(error), 1, "/d")
    assert said == [error.message, error.hint, *([advice] if advice else [])]
    assert "no data yet" in words(view.link_words(Link().failed(error), 1))
