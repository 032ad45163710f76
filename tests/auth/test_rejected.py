"""Rejected traffic: few counts whatever comes, and none lost."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.auth.rejected import OTHERS, SOURCES, RejectedCounts
from appliance.clock import FixedClock


def test_one_source_gives_one_count_a_minute() -> None:
    clock = FixedClock()
    rejected = RejectedCounts(clock)
    for _ in range(3):
        rejected.note("10.0.0.5", "invalid_api_key")
    rejected.note("10.0.0.5", "invalid_json")
    assert rejected.take() == []  # the minute is not over
    clock.advance(60)
    (count,) = rejected.take()
    entry = count.entry()
    assert (entry["source"], entry["count"]) == ("10.0.0.5", 4)
    assert entry["codes"] == {"invalid_api_key": 3, "invalid_json": 1}
    assert "key_id" not in entry
    assert rejected.take(everything=True) == []


def test_a_key_at_an_address_is_a_source_of_its_own() -> None:
    rejected = RejectedCounts(FixedClock())
    rejected.note("10.0.0.5", "models", "k1")
    rejected.note("10.0.0.5", "invalid_api_key")
    found = {c.entry().get("key_id") for c in rejected.take(everything=True)}
    assert found == {"k1", None}


def test_a_flood_of_100_000_from_as_many_addresses_gives_few_counts_and_loses_none() -> None:
    clock = FixedClock()
    rejected = RejectedCounts(clock)
    for number in range(100_000):
        rejected.note(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "invalid_api_key")
    counts = rejected.take(everything=True)
    assert len(counts) == SOURCES + 1
    assert sum(sum(c.codes.values()) for c in counts) == 100_000
    assert [c.codes for c in counts if c.source == OTHERS] == [
        {"invalid_api_key": 100_000 - SOURCES}
    ]


def test_what_could_not_be_recorded_is_merged_and_stays_bounded() -> None:
    clock = FixedClock()
    rejected = RejectedCounts(clock)
    for minute in range(50):
        for host in range(40):
            rejected.note(f"10.0.{minute % 5}.{host}", "invalid_api_key")
        clock.advance(60)
        rejected.put_back(rejected.take())
    counts = rejected.take(everything=True)
    assert len(counts) <= SOURCES + 1
    assert sum(sum(c.codes.values()) for c in counts) == 50 * 40
    assert max(c.until_us - c.since_us for c in counts) > 40 * 60_000_000


NOTES = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["a", "b", "models"]), st.integers(0, 90)),
    max_size=300,
)


@given(NOTES, st.integers(1, 40))
def test_every_request_is_counted_once(notes: list[tuple[int, str, int]], every: int) -> None:
    clock = FixedClock()
    rejected, found = RejectedCounts(clock), 0
    for number, (host, code, wait) in enumerate(notes):
        clock.advance(wait)
        rejected.note(str(host), code)
        if number % every == 0:
            taken = rejected.take()
            assert len(taken) <= SOURCES + 1
            if number % 3:
                rejected.put_back(taken)
            else:
                found += sum(sum(c.codes.values()) for c in taken)
    found += sum(sum(c.codes.values()) for c in rejected.take(everything=True))
    assert found == len(notes)
