"""Entries become sums: requests, answers, tokens and time, by the hour of the intent."""

from appliance.audit.entry import LogEntry
from appliance.errors import NotFound
from appliance.metering.usage_sums import HOUR_US, UsageCount, UsageSums, period_of
from appliance.types import Json

EIGHT = 491_000  # hours since 1970: 2026-01-05T08:00Z


def entry(seq: int, kind: str, hour: int = EIGHT, **more: Json) -> LogEntry:
    return LogEntry({"seq": seq, "kind": kind, "time_us": hour * HOUR_US + 5, **more}, b"", b"")


def intent(seq: int, **more: Json) -> LogEntry:
    said: dict[str, Json] = {"key_id": "k", "app": "planner", "model": "qwen", **more}
    return entry(seq, "intent", EIGHT, **said)


def outcome(seq: int, asked: int, status: str = "ok", model: str = "qwen") -> LogEntry:
    return entry(
        seq, "outcome", EIGHT + 1, intent=asked, status=status, model=model, prompt_tokens=10,
        completion_tokens=4, duration_us=900, queued_us=200,
    )  # fmt: skip


def counted(
    *entries: LogEntry, known: tuple[LogEntry, ...] = ()
) -> dict[tuple[str, ...], UsageSums]:
    def find(seq: int) -> LogEntry:
        for one in known:
            if one.seq == seq:
                return one
        raise NotFound("not_found", "It was pruned.")

    count = UsageCount(find)
    count.add(entries)
    return {(s.app, s.person, s.task, s.model, str(s.hour)): sums for s, sums in count.sums.items()}


ONE = UsageSums(1, 1, 0, 10, 4, 700)
MODEL = ("planner", "", "", "qwen", str(EIGHT))


def test_a_request_counts_in_the_hour_of_its_intent() -> None:
    assert counted(intent(1), outcome(2, 1)) == {MODEL: ONE}
    assert counted(intent(1)) == {}  # not over yet: the entries to come have its end
    assert counted(outcome(2, 1), known=(intent(1),)) == {MODEL: ONE}


def test_a_task_and_a_person_are_told_beside_the_model_that_answers() -> None:
    found = counted(intent(1, task="ab" * 32, end_user="ada"), outcome(2, 1, model="triage"))
    assert list(found) == [("planner", "ada", "triage", "qwen", str(EIGHT))]


def test_a_cost_centre_is_that_of_the_intent() -> None:
    count = UsageCount(lambda seq: intent(seq))
    searched = entry(3, "search", key_id="k", app="planner", end_user_cost_centre="4711")
    count.add([intent(1, end_user_cost_centre="4711"), outcome(2, 1), searched])
    assert {subject.cost_centre for subject in count.sums} == {"4711"} and len(count.sums) == 2


def test_a_route_that_asks_twice_is_one_request_and_two_answers() -> None:
    found = counted(
        intent(1, hop={"number": 1}), outcome(2, 1),
        intent(3, hop={"number": 2}, model="large"), outcome(4, 3),
    )  # fmt: skip
    assert [(s.requests, s.answers) for s in found.values()] == [(1, 1), (0, 1)]


def test_errors_and_unknown_ends_are_failed_and_what_a_client_cancels_is_not() -> None:
    ends = ("ok", "error", "unknown", "cancelled")
    entries = [e for n, s in enumerate(ends) for e in (intent(2 * n), outcome(2 * n + 1, 2 * n, s))]
    assert [sums.failed for sums in counted(*entries).values()] == [2]


def test_an_answer_whose_intent_was_pruned_still_counts() -> None:
    (found,) = counted(outcome(9, 1)).values()
    assert found == ONE


def test_a_search_counts_for_its_collection() -> None:
    said = entry(1, "search", key_id="k", app="planner", collection="manuals")
    assert list(counted(said)) == [("planner", "", "", "manuals", str(EIGHT))]


def test_periods_are_named_in_utc() -> None:
    names = [period_of(EIGHT, per) for per in ("hour", "day", "month")]
    assert names == ["2026-01-05T08:00Z", "2026-01-05", "2026-01"]
