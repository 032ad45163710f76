"""What people are told of incidents, how often, and what waits for a destination that is away."""

from typing import Any

from appliance.config import NotifyConfig
from appliance.forwarding.notices import NoticePlan
from appliance.incidents.history import Look
from appliance.incidents.rules import Alarm, Level

HOUR = 3_600_000_000


def alarm(code: str, level: Level = "warning", acked_by: str = "") -> Alarm:
    return Alarm(code, level, "s", "It is so.", "Do it.", 0, 1, acked_by)


def look(*held: Alarm, began: tuple[Alarm, ...] = (), ended: tuple[Alarm, ...] = ()) -> Look:
    return Look(held, began, ended)


def plan(**settings: Any) -> NoticePlan:
    return NoticePlan(NotifyConfig(to="https://h/", **settings), "site.example/log")


def heard(made: NoticePlan, seen: Look, now: int, *, arrives: bool = True) -> list[str]:
    made.add(seen)
    notice = made.notice(seen, now)
    if notice is None:
        return []
    if arrives:
        made.delivered(notice)
    parts = (("+", notice.began), ("=", notice.still), ("-", notice.ended))
    return [sign + one.code for sign, found in parts for one in found]


def test_one_message_has_all_that_changed_at_once_and_the_next_step() -> None:
    made, a, b = plan(), alarm("a"), alarm("b", "critical")
    seen = look(a, b, began=(a, b))
    made.add(seen)
    notice = made.notice(seen, HOUR)
    assert notice is not None and notice.subject == "site.example/log: 2 new (a)"
    assert "NEW critical b s: It is so.\n  next: Do it." in notice.text
    document: dict[str, Any] = notice.document()
    assert document["text"] == notice.text and len(document["began"]) == 2


def test_an_open_incident_is_told_again_until_somebody_takes_care() -> None:
    made, a = plan(repeat_hours=2), alarm("a")
    assert heard(made, look(a, began=(a,)), 0) == ["+a"]
    assert heard(made, look(a), HOUR) == []
    assert heard(made, look(a), 2 * HOUR) == ["=a"]
    assert heard(made, look(a), 3 * HOUR) == []
    assert heard(made, look(alarm("a", acked_by="ada")), 9 * HOUR) == []
    assert heard(made, look(ended=(a,)), 10 * HOUR) == ["-a"]
    assert heard(plan(repeat_hours=0), look(a), 99 * HOUR) == []


def test_what_was_not_delivered_goes_with_the_next_message() -> None:
    made, a, b = plan(), alarm("a"), alarm("b")
    assert heard(made, look(a, began=(a,)), 0, arrives=False) == ["+a"]
    assert heard(made, look(a, b, began=(b,)), 1) == ["+a", "+b"]
    assert heard(made, look(a, b), 2) == []


def test_what_began_and_ended_before_anybody_heard_is_not_told() -> None:
    made, a = plan(), alarm("a")
    assert heard(made, look(a, began=(a,)), 0, arrives=False) == ["+a"]
    assert heard(made, look(ended=(a,)), 1) == []


def test_a_destination_for_critical_ones_hears_no_warning() -> None:
    made, a, b = plan(level="critical"), alarm("a"), alarm("b", "critical")
    assert heard(made, look(a, b, began=(a, b)), 0) == ["+b"]
    assert heard(made, look(b, ended=(a,)), 1) == []
