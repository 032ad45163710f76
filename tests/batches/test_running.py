"""Lines under way: each has one answer and its receipt however often the server is killed."""

import json
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.app import initialise, open_services
from appliance.audit.search import Query
from tests.batches.site import line, wanted
from tests.conftest import CHECKOUT

LINES, KILLS, MOST_EVENTS = 40, 10, 20
"""40 lines write six times as often as ten kills let them."""


@dataclass
class Prepared:
    data: Path
    batch: str


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    data = tmp_path_factory.mktemp("batches") / "data"
    initialise(data, "lab")
    with open_services(data) as services:
        key, _ = services.keys.create("night")
        lines = [line(n) for n in range(LINES)]
        return Prepared(data, services.batches.store.create(wanted(services, key.id, lines)).id)


def serve(data: Path, event: int = -1) -> int:
    command = [sys.executable, "-m", "tests.batches.killed", str(data), str(event)]
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode


def check(data: Path, batch: str) -> list[str]:
    with open_services(data) as services:
        found = services.batches.store.get(batch)
        assert found.status == "completed" and (found.completed, found.failed) == (LINES, 0)
        parts = services.batches.files.parts(found.output)
        answers = [json.loads(part.text) for part in parts]
        assert [one["custom_id"] for one in answers] == [f"line {n}" for n in range(LINES)]
        for one in answers:
            entry = services.reader.entry(int(one["x_appliance"]["receipt"].split()[0]))
            assert (entry.kind, entry.body["status"]) == ("outcome", "ok")
            assert entry.body["request_id"] == one["response"]["request_id"]
        before = [name for one in answers for name in one["x_appliance"]["begun_before"]]
        told = [*before, *(one["response"]["request_id"] for one in answers)]
        intents = services.reader.search(Query(kind="intent", limit=1_000)).entries
        assert sorted(str(e.body["request_id"]) for e in intents) == sorted(told)
        assert all(services.reader.outcome_of(e.seq) is not None for e in intents)
        return before


@pytest.mark.swept
@pytest.mark.parametrize("seed", range(10))
def test_each_line_is_answered_once_however_the_server_is_killed(
    prepared: Prepared, tmp_path: Path, seed: int
) -> None:
    data, draw = tmp_path / "data", random.Random(seed)
    shutil.copytree(prepared.data, data)
    for kill in range(KILLS):
        assert serve(data, draw.randrange(MOST_EVENTS)) == -9, f"it ended before kill {kill}"
    assert serve(data) == 0
    check(data, prepared.batch)


def test_without_a_kill_nothing_is_begun_twice(prepared: Prepared, tmp_path: Path) -> None:
    """The control: what is begun before comes of the kills."""
    data = tmp_path / "data"
    shutil.copytree(prepared.data, data)
    assert serve(data) == 0
    assert check(data, prepared.batch) == []
