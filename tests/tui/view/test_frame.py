"""The lines around every screen."""

import pytest

from appliance.errors import ApplianceError, Forbidden
from tests.test_client import STATUS
from tests.tui.scripted import DOWN, WALL, model, status
from tui.keys import PLACES
from tui.link import Link, Snapshot
from tui.rates import RatePoint
from tui.text import line
from tui.view import frame


def live(**changes: object) -> Link:
    return Link().succeeded(Snapshot(status(**changes)), 100)


def test_the_first_line_names_profile_state_work_and_role() -> None:
    models = [model("a", "serving", loaded=True), model("b", "refused")]
    said = frame.top(live(models=models), RatePoint(tokens=12.34, queued=7), 101, WALL, 100).plain
    for words in (
        "appliance",
        "LAB",
        "- idle",
        "12:26 UTC",
        "queue 7",
        "12.3 tok/s",
        "you: admin",
        "+ LIVE",
    ):
        assert words in said, words
    assert "read-only" in frame.top(live(), None, 101, WALL, 120, readonly=True).plain


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_it_is_as_wide_as_the_screen_and_keeps_the_connection(width: int) -> None:
    said = frame.top(live(), None, 101, WALL, width)
    assert said.cell_length == width and said.plain.rstrip().endswith("+ LIVE")


def test_the_host_and_its_address_are_named_where_there_is_room() -> None:
    host = {**STATUS["host"], "name": "plant-7"}
    link = live(url="http://127.0.0.1:8181", host=host)
    assert all(
        word in frame.top(link, None, 101, WALL, 80).plain
        for word in ("plant-7", "LAB", "127.0.0.1:8181", "12:26 UTC", status().version)
    )
    assert "you: admin" in frame.top(link, None, 101, WALL, 100).plain


def test_a_second_changes_nothing() -> None:
    said = [frame.top(live(uptime_seconds=n), None, 101, WALL, 80).plain for n in (61, 62)]
    assert said[0] == said[1]


def test_a_log_that_cannot_be_written_is_on_every_screen() -> None:
    latched = live(audit={"entries": 1, "root": "00", "latched": "disk full"})
    assert "! refusing" in frame.top(latched, None, 101, WALL, 80).plain


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, 250])
def test_the_lit_place_is_named_at_every_width(width: int) -> None:
    for place in PLACES:
        said = frame.navigation(place.title, width).plain
        assert f"[{place.key} {place.title}]" in said
        assert len(said) <= width


def test_eighty_columns_have_every_name_of_the_service_whole() -> None:
    said = frame.navigation("Models", 80).plain
    assert "1 Overview [2 Models] 3 Requests 5 Keys 6 Jobs u Usage 9 Logs h Upstreams" in said


def test_where_there_is_room_every_place_is_named() -> None:
    said = frame.navigation("Models", 250).plain
    assert all(f"{place.key} {place.title}" in said for place in PLACES)
    assert " 7 " not in frame.navigation("Models", 80).plain  # the map has the other levels


def test_a_name_is_whole() -> None:
    said = frame.navigation("Labels", 80).plain
    assert " 7 Tasks 8 Evaluations e Datasets [t Labels] m Tuning o Routes p People …" in said
    assert " 2 Models 3 Requests " in frame.navigation("Overview", 80).plain


def test_the_worst_alarm_stands_above_every_screen_with_how_many_more() -> None:
    assert not frame.worst(status(), 80)
    said = frame.worst(status(alarms=["The disk is full.", "b", "c"]), 80).plain
    assert said.startswith("! The disk is full.") and said.endswith("2 more: i")


def test_a_live_link_needs_no_words() -> None:
    assert line(*frame.link_words(live(), 101)).plain == "+ LIVE"
    assert frame.trouble(live(), 101, "/d") == []


def test_a_slow_server_is_named_with_the_age() -> None:
    assert line(*frame.link_words(live(), 114)).plain == "~ STALE  data 14 s old"
    assert frame.trouble(live(), 114, "/d") == ["The server takes long to answer."]


@pytest.mark.parametrize(
    ("error", "advice"),
    [(DOWN, "Next: appliance serve --data /d"), (Forbidden("forbidden", "no"), "")],
)
def test_trouble_has_reason_hint_and_next_command(error: ApplianceError, advice: str) -> None:
    said = frame.trouble(Link().failed(error), 1, "/d")
    assert said == [error.message, error.hint, *([advice] if advice else [])]
    assert "no data yet" in line(*frame.link_words(Link().failed(error), 1)).plain
