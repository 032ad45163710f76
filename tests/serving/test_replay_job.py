"""The job's parameters, and what a sample is drawn from; `test_replaying.py` runs it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from appliance import __version__
from appliance.audit import search
from appliance.audit.log import Draft
from appliance.audit.reader import LogReader
from appliance.clock import FixedClock
from appliance.errors import BadRequest
from appliance.serving import replay_job
from appliance.serving.replay_job import ReplayJob
from appliance.wire.admin.jobs import ReplayWanted
from appliance.wire.admin.results import AnswerReplayed
from tests.audit import logs

OUTCOMES = {3, 5, 7, 9, 11, 13, *range(30, 38)}
"""Of the log that `logs.sample` makes."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogReader]:
    made = LogReader(logs.sample(tmp_path_factory.mktemp("sample") / "log"))
    yield made
    made.close()


@pytest.mark.parametrize("most", [0, 20_000])
def test_a_sample_is_of_answers_without_repeats(
    reader: LogReader, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Both ways: all outcomes are read, or entries are drawn until there are enough."""
    monkeypatch.setattr(replay_job, "_READ_WHOLE", most)
    drawn = Counter[int]()
    for _ in range(200):
        found = list(replay_job.sample(reader, 3, 0))
        assert found == sorted(set(found)) and len(found) == 3
        drawn.update(found)
    assert set(drawn) == OUTCOMES  # each has its chance: 600 draws of 14
    assert set(replay_job.sample(reader, 1_000, 0)) == OUTCOMES
    assert list(replay_job.sample(reader, 3, 1 << 52)) == []
    assert list(replay_job.sample(reader, 5, 0, lambda seq: seq in (7, 33))) == [7, 33]


def test_a_sample_begins_at_its_time_however_far_the_search_looks_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(search, "MOST_STEPS", 9)
    clock = FixedClock()
    log = logs.open_log(logs.new_log(tmp_path / "log"), clock=clock)
    made = []
    for number in range(6):
        clock.advance(1.0)
        made.append(logs.ask(log, f"req-{number}")[1])
    log.close()
    reader = LogReader(tmp_path / "log")
    since = reader.entry(made[3].seq).time_us
    drawn = list(replay_job.sample(reader, 1_000, since))
    reader.close()
    assert drawn == [outcome.seq for outcome in made[3:]]


def test_an_answer_of_another_release_may_differ(tmp_path: Path) -> None:
    log, told = logs.open_log(logs.new_log(tmp_path / "log")), list[AnswerReplayed]()
    for release in ({}, {"release": "0.0.1"}, {"release": __version__}):
        log.append(Draft("start", {"profile": "lab", **release})).result()
        seq = logs.ask(log, f"req-{len(told)}")[1].seq
        told.append(AnswerReplayed(seq=seq, verdict="differs", why="another token was chosen"))
    log.close()
    reader = LogReader(tmp_path / "log")
    job = ReplayJob(reader, *[cast(Any, None)] * 5)
    judged = [job._of_this_release(one) for one in told]
    reader.close()
    assert [one.verdict for one in judged] == ["cannot", "cannot", "differs"]
    assert "release unknown" in judged[0].why and judged[0].lasting  # its alarm can end
    assert judged[1].why.startswith("release 0.0.1 computed it, and this is ")


def test_answers_that_differ_are_shown_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_job, "_MOST_TOLD", 2)
    told = [
        AnswerReplayed(seq=seq, verdict="differs" if seq == 8 else "same") for seq in range(4, 9)
    ]
    assert [one.seq for one in replay_job.shown(told, named=True)] == [8, 4]
    assert [one.seq for one in replay_job.shown(told, named=False)] == [8]


JOB = ReplayJob(*[cast(Any, None)] * 6)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"seqs": [1], "sample": 2},
        {"sample": 2, "export": "file", "key": "k"},
        {"export": "file"},
        {"seqs": [1], "key": "k"},
        {"export": "file", "key": "k", "out": "other"},
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        JOB.check(ReplayWanted.of(**wanted))


def test_a_job_is_named_by_its_answers() -> None:
    titles: dict[str, dict[str, Any]] = {
        "entry 7": {"seqs": [7]},
        "2 answers": {"seqs": [7, 9]},
        "a sample of 5 answers": {"sample": 5},
        "answers of a.jsonl": {"export": "a.jsonl", "key": "k"},
    }
    for title, wanted in titles.items():
        params = ReplayWanted.of(**wanted)
        JOB.check(params)
        assert JOB.title(params) == title
    assert Path(ReplayWanted.of(sample=1).out) == Path()
