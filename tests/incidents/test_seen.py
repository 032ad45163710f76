"""Since when each alarm has been there."""

from appliance.incidents.rules import Alarm
from appliance.incidents.seen import AlarmMemory


def alarm(code: str, subject: str = "", since_us: int | None = None) -> Alarm:
    return Alarm(code, "warning", subject, "It is so.", "Do it.", since_us)


def test_an_alarm_is_the_same_until_it_is_gone() -> None:
    seen = AlarmMemory()
    assert [a.since_us for a in seen.dated([alarm("a"), alarm("b", since_us=3)], 10)] == [10, 3]
    assert [a.since_us for a in seen.dated([alarm("a")], 20)] == [10]
    assert seen.dated([], 30) == ()
    assert [a.since_us for a in seen.dated([alarm("a")], 40)] == [40]


def test_each_beginning_and_end_is_told_once() -> None:
    seen = AlarmMemory()
    first = seen.look([alarm("a"), alarm("a", "x")], 10)
    assert [(a.code, a.subject) for a in first.began] == [("a", ""), ("a", "x")]
    second = seen.look([alarm("a")], 20)
    assert second.began == () and [a.subject for a in second.ended] == ["x"]
    assert seen.look([alarm("a")], 30).ended == ()


def test_a_look_of_another_does_not_take_the_telling_away() -> None:
    seen = AlarmMemory()
    seen.dated([alarm("a")], 10)  # somebody reads the status first
    (told,) = seen.look([alarm("a")], 20).began
    assert told.since_us == 10


def test_the_next_threshold_of_one_fact_is_told_again() -> None:
    seen = AlarmMemory()
    seen.look([alarm("certificate_ends", since_us=30)], 30)
    look = seen.look([alarm("certificate_ends", since_us=53)], 53)
    assert len(look.began) == 1 and look.ended == ()
