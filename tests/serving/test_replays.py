"""What the kept replays say: counts, and the answers that still differ."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.jobs.store import TABLES, JobStore
from appliance.serving.replays import replays_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    database = open_database(tmp_path / "jobs.db", [TABLES])
    yield JobStore(database, FixedClock())
    database.dispose()


def done(store: JobStore, same: int, *answers: tuple[int, str]) -> None:
    job = store.create("replay", "t", "uid:0", "{}", served=True)
    told: list[dict[str, Any]] = [
        {"seq": seq, "verdict": verdict, "why": "w", "token": 3} for seq, verdict in answers
    ]
    differs = sum(verdict == "differs" for _, verdict in answers)
    result = {"same": same, "differs": differs, "cannot": 0, "reasons": {}, "answers": told}
    store.advance(job.id, "start")
    store.advance(job.id, "finish", result=json.dumps(result))


def test_a_difference_stays_until_the_same_answer_is_the_same(store: JobStore) -> None:
    assert replays_of(store).newest is None
    done(store, 20)
    done(store, 18, (41, "differs"), (57, "differs"))
    done(store, 20)  # of others
    found = replays_of(store)
    assert (found.same, found.differ, found.newest) == (58, 2, 41)
    assert [told.subject for told in found.told] == ["41", "57"]
    assert found.told[0].message == "The answer of entry 41 differs at token 3: w."
    done(store, 1, (41, "same"))
    done(store, 0, (57, "cannot"))  # says nothing
    assert [told.subject for told in replays_of(store).told] == ["57"]
    done(store, 0, (41, "differs"))
    assert [told.subject for told in replays_of(store).told] == ["41", "57"]


def test_other_jobs_and_unread_results_say_nothing(store: JobStore) -> None:
    for kind, result in (("export", '{"same": 3}'), ("replay", '{"x": 1}')):
        job = store.create(kind, "t", "uid:0", "{}", served=True)
        store.advance(job.id, "start")
        store.advance(job.id, "finish", result=result)
    assert (replays_of(store).same, replays_of(store).told) == (0, ())
