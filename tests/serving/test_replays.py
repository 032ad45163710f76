"""Counts of replays, and answers that still differ."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.jobs.store import TABLES as JOBS
from appliance.jobs.store import JobStore
from appliance.serving.replays import TABLES, ReplayCounts, ReplayDifferences, counted
from appliance.wire.admin.results import AnswerReplayed


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    database = open_database(tmp_path / "jobs.db", [JOBS, TABLES])
    yield database
    database.dispose()


def test_a_difference_stays_until_the_same_answer_is_the_same(database: Engine) -> None:
    kept = ReplayDifferences(database, FixedClock())

    def take(seq: int, verdict: str, named: bool = True, **more: Any) -> list[str]:
        token = 3 if verdict == "differs" else None
        kept.take(AnswerReplayed(seq=seq, verdict=verdict, why="w", token=token, **more), named)
        return [told.subject for told in kept.all()]

    assert kept.all() == ()
    assert take(41, "differs") == ["41"]
    assert take(57, "differs") == ["41", "57"]
    for other in range(100, 200):  # however many
        assert take(other, "same") == ["41", "57"]
    assert kept.all()[0].message == "The answer of entry 41 differs at token 3: w."
    assert take(41, "same") == ["57"]
    assert take(57, "cannot") == ["57"]  # it may come back
    assert take(57, "cannot", named=False, lasting=True) == ["57"]  # nobody asked
    assert take(60, "cannot", proved=False) == ["57", "60"]
    assert kept.all()[1].message == "The log does not prove the answer of entry 60: w"
    assert ReplayDifferences(database, FixedClock()).all() == kept.all()
    assert take(57, "cannot", lasting=True) == ["60"]


def test_counts_are_of_replays_whose_results_are_read(database: Engine) -> None:
    store = JobStore(database, FixedClock())
    right = {"same": 18, "differs": 2, "cannot": 0, "reasons": {}, "answers": []}
    for kind, result in (("export", '{"same": 3}'), ("replay", '{"x": 1}'), *[
        ("replay", json.dumps(right))] * 2):  # fmt: skip
        job = store.create(kind, "t", "uid:0", "{}", served=True)
        store.advance(job.id, "start")
        store.advance(job.id, "finish", result=result)
    assert counted(store) == ReplayCounts(same=36, differ=4)
