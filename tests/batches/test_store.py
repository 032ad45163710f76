"""Batches as they are kept: made, decided, ended; what a client named them by is not readable."""

import json
from pathlib import Path

import pytest

from appliance.batches import store as batch_store
from appliance.batches.files import INPUT, KeptFiles
from appliance.batches.lines import LineProblem, request_of
from appliance.batches.store import BatchStore, StoredBatch, WantedBatch
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import NotFound, Overloaded, StateRefused
from appliance.wiring.schema import FILES

DAY_S = 86_400


class Kept:
    def __init__(self, directory: Path) -> None:
        self.clock, self.directory = FixedClock(0), directory
        database = open_database(directory / "files.db", FILES, erases=True)
        self.files = KeptFiles(database, self.clock, lambda: b"k" * 32)
        self.store = BatchStore(database, self.clock, self.files)
        self.file = self.files.begin("app", INPUT, "a", 40 * DAY_S * 1_000_000)
        self.files.append(self.file, 0, b"a\nb\nc\n", 3)
        self.files.finish(self.file)

    def made(self) -> StoredBatch:
        wanted = WantedBatch("app", "/v1/embeddings", self.file, 24, DAY_S, {"who": "Dr. Who"})
        return self.store.create(wanted)

    def begun(self) -> StoredBatch:
        return self.store.begin(self.made().id, "m", 3)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_a_batch_has_the_words_of_its_client_and_the_disk_has_not(kept: Kept) -> None:
    batch = kept.made()
    assert batch.metadata == {"who": "Dr. Who"} and batch.status == "validating" and batch.live
    assert batch.until_us == DAY_S * 1_000_000
    for path in kept.directory.iterdir():
        assert b"Dr. Who" not in path.read_bytes()


def test_answers_are_kept_once_and_in_the_order_of_lines(kept: Kept) -> None:
    batch = kept.begun()
    kept.clock.advance(60)
    for line, ok in ((2, True), (0, True), (1, False)):
        kept.store.keep(batch, line, b"%d\n" % line, (), ok=ok)
    with pytest.raises(Exception, match="UNIQUE"):
        kept.store.keep(batch, 2, b"again\n", (), ok=True)
    assert kept.store.answered(batch, 3) == b"\1\1\1"
    found = kept.store.end(kept.store.decide(batch.id, "completed"))
    assert (found.completed, found.failed, found.moved_us) == (2, 1, 60_000_000)
    assert b"".join(part.text for part in kept.files.parts(found.output)) == b"0\n2\n"
    assert kept.files.get("app", found.errors).lines == 1


def test_files_without_a_line_are_not_there(kept: Kept) -> None:
    found = kept.store.end(kept.store.decide(kept.begun().id, "completed"))
    assert (found.output, found.errors, found.status) == ("", "", "completed")


def test_the_first_decision_stays(kept: Kept) -> None:
    batch = kept.begun()
    assert kept.store.cancel(batch.id, "app").status == "cancelling"
    problem = LineProblem("job_failed", "Broken.")
    decided = kept.store.decide(batch.id, "failed", [problem])
    assert (decided.becomes, decided.status) == ("cancelled", "cancelling")
    assert decided.problems == (problem,) and decided.metadata == {"who": "Dr. Who"}
    assert kept.store.end(decided).status == "cancelled"
    with pytest.raises(StateRefused):
        kept.store.cancel(batch.id, "app")
    with pytest.raises(NotFound):
        kept.store.cancel(batch.id, "stranger")


def test_a_batch_that_is_cancelled_while_it_is_looked_at_does_not_run(kept: Kept) -> None:
    batch = kept.begun()
    kept.store.cancel(batch.id, "app")
    begun = kept.store.begin(batch.id, "echo", 40)
    assert (begun.status, begun.becomes, begun.total) == ("cancelling", "cancelled", 40)


def test_a_cancellation_after_the_decision_changes_nothing(kept: Kept) -> None:
    batch = kept.begun()
    decided = kept.store.decide(batch.id, "completed")
    assert kept.store.cancel(batch.id, "app") == decided


def test_a_key_has_so_many_at_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_store, "MOST_LIVE", 2)
    first, _ = kept.made(), kept.made()
    with pytest.raises(Overloaded):
        kept.made()
    kept.store.end(kept.store.decide(first.id, "cancelled"))
    kept.made()


def test_a_batch_goes_with_its_files(kept: Kept) -> None:
    batch = kept.begun()
    kept.store.keep(batch, 0, b"x\n", (), ok=True)
    kept.clock.advance(50 * DAY_S)
    kept.store.tidy()  # its file is over and its batch is not: both stay
    assert kept.files.known(batch.input).lines == 3
    found = kept.store.end(kept.store.decide(batch.id, "expired"))
    kept.clock.advance(DAY_S - 1)
    kept.store.tidy()
    assert kept.files.get("app", found.output).bytes == 2
    kept.clock.advance(1)
    kept.store.tidy()
    assert kept.files.used("app") == 0 and kept.store.listed("app") == []


def test_a_file_that_is_removed_is_named_no_more(kept: Kept) -> None:
    batch = kept.begun()
    kept.store.keep(batch, 0, b"x\n", (), ok=True)
    with pytest.raises(StateRefused):
        kept.store.check_unused(batch.input)
    found = kept.store.end(kept.store.decide(batch.id, "completed"))
    kept.store.check_unused(batch.input)
    kept.store.forget_file(found.output)
    assert kept.store.get(batch.id).output == ""


def test_lines_are_found_by_their_requests_and_by_those_that_they_name(kept: Kept) -> None:
    batch, other = kept.begun(), "req-" + "f" * 32
    request = request_of(batch.id, 1, 0)
    kept.store.keep(batch, 1, json.dumps({"secret": 1}).encode() + b"\n", [other], ok=True)
    for name in (request, request_of(batch.id, 1, 7), other):
        assert kept.store.holds([name]) == {"": 2}
    assert kept.store.holds([request_of(batch.id, 2, 0)]) == {"": 1}  # of the input alone
    assert kept.store.holds(["req-" + "0" * 32]) == {}
    kept.store.erase([other])
    assert kept.store.holds([request]) == {}
    assert b"secret" not in b"".join(path.read_bytes() for path in kept.directory.iterdir())


def test_the_answer_to_a_line_that_is_erased_while_it_runs_is_not_kept(kept: Kept) -> None:
    batch = kept.begun()
    kept.store.erase([request_of(batch.id, 1, 0)])
    for line in (0, 1):
        kept.store.keep(batch, line, json.dumps({"n": line}).encode() + b"\n", (), ok=True)
    assert kept.store.holds([request_of(batch.id, 1, 0)]) == {}
    assert kept.store.holds([request_of(batch.id, 0, 0)]) == {"": 2}  # the control
    assert kept.store.get(batch.id).completed == 2
