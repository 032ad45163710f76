"""A log whose beginning was pruned: the rest still holds, and nothing more goes."""

from pathlib import Path

import pytest

from appliance.audit import pruning
from appliance.audit.consistency import check_consistency
from appliance.audit.export import export
from appliance.audit.files import LogFiles
from appliance.audit.log import Draft
from appliance.audit.proof import check_proof
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditRefused, AuditUnavailable, NotFound
from appliance.types import Json
from auditor.verify_export import Verifier
from tests.audit.logs import Intruder, admin, ask, copy, found, outcome
from tests.audit.segmented import ROWS, open_segments, prune

pytestmark = [pytest.mark.long, pytest.mark.durable]

PEOPLE = ("Alice", "Bob")


def pruned(directory: Path, before: int = ROWS) -> Path:
    with open_segments(directory) as log:
        prune(log, directory, before, *PEOPLE)
    return directory


def told_by_the_auditor(directory: Path, out: Path) -> list[tuple[int, str]]:
    export(directory, "tiles", out)
    verifier = Verifier(out, (directory / "genesis.pub").read_text())
    verifier.run()
    return [(seq, code) for seq, code, _ in sorted(verifier.problems)]


def test_the_files_are_gone_and_the_rest_verifies_by_both(three: Path, tmp_path: Path) -> None:
    pruned(three)
    assert [first for first, _ in LogFiles(three).segments()] == [ROWS, 2 * ROWS]
    assert not list(three.glob("log.db*"))
    report = verify_log(three)
    assert (report.ok, report.first) == (True, ROWS)
    assert told_by_the_auditor(three, tmp_path / "out") == []


def test_proofs_and_consistency_hold_after_it(three: Path) -> None:
    kept = LogReader(three).checkpoint().encode()
    genesis = (three / "genesis.pub").read_bytes()
    old_proof = LogReader(three).proof(5)
    pruned(three)
    reader = LogReader(three)
    for seq in (ROWS, 2 * ROWS, reader.size - 1):
        assert check_proof(reader.proof(seq), genesis).seq == seq
    assert check_proof(old_proof, genesis).seq == 5  # proofs that are out stay good
    assert check_consistency(reader.consistency(kept), genesis).old == 2 * ROWS + 4
    with pytest.raises(NotFound, match="pruned"):
        reader.entry(ROWS - 1)
    assert reader.search(Query(request_id="s0")).entries == []
    assert len(reader.search(Query(request_id="s1")).entries) == 2


def test_it_goes_on_and_can_be_pruned_again(three: Path, tmp_path: Path) -> None:
    pruned(three)
    with open_segments(three) as log:
        ask(log, "after")
        prune(log, three, 2 * ROWS, *PEOPLE)
        ask(log, "more")
    assert LogReader(three).segments()[0].first == 2 * ROWS
    assert found(three) == []
    assert told_by_the_auditor(three, tmp_path / "out") == []


def test_the_newest_segment_never_goes(three: Path) -> None:
    with open_segments(three) as log:
        prune(log, three, log.size - log.size % 256, *PEOPLE)
        assert log.append(admin("still here")).result()
    assert [first for first, _ in LogFiles(three).segments()] == [2 * ROWS]


def test_the_content_keys_go_with_it(three: Path) -> None:
    before = LogReader(three)
    asked = [before.find_request(name, "k1")[0].seq for name in ("s0", "s1")]
    kept = before.entry(asked[0]).body["content"]
    pruned(three)
    keys = Intruder(three, three / "keys.db")
    assert isinstance(kept, dict)
    assert keys.one(f"SELECT count(*) FROM dek WHERE id = '{kept['key']}'") == (0,)
    assert LogReader(three).content(asked[1], "prompt")


@pytest.mark.parametrize("step", ["keys", "first file", "all files"])
def test_44_an_interrupted_prune_is_finished_at_the_next_start(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The entry is durable; the power goes between it and the last file."""
    real, last = Path.unlink, {"keys": 0, "first file": 1, "all files": 2}[step]
    gone: list[str] = []

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".db":
            if len(gone) == last:
                raise OSError("the power went")
            gone.append(path.name)
        real(path, missing_ok=missing_ok)

    def sync(path: Path) -> None:
        raise OSError("the power went")

    log = open_segments(three)
    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(pruning, "sync_directory", sync)
    with pytest.raises(AuditUnavailable, match="failed"):
        prune(log, three, 2 * ROWS, *PEOPLE)
    log.close()
    monkeypatch.undo()
    assert found(three) == []  # before the next start, too
    with open_segments(three) as again:
        ask(again, "after")
    assert [first for first, _ in LogFiles(three).segments()] == [2 * ROWS]
    assert found(three) == []
    assert told_by_the_auditor(three, tmp_path / "out") == []


def test_an_outcome_after_the_prune_closes_its_pruned_intent(three: Path, tmp_path: Path) -> None:
    pruned(three)
    assert LogReader(three).entry(ROWS).kind == "outcome"
    assert found(three) == []
    with open_segments(three) as log:
        refused = log.append(outcome(ROWS - 1, "across-0"))
        with pytest.raises(AuditRefused):
            refused.result()


def test_receipts_of_what_was_pruned_are_no_alarm(three: Path) -> None:
    with open_segments(three) as log:
        _, late = ask(log, "late")
    early = LogReader(three).entry(3)
    pruned(three)
    receipts = [late, type(late)(3, early.leaf, 4)]
    assert found(three, receipts=receipts) == []


def test_without_two_people_it_is_a_finding_by_both(three: Path, tmp_path: Path) -> None:
    for number, people in enumerate(((), ("Alice",), ("Alice", "Alice"))):
        directory = tmp_path / f"log{number}"
        copy(three, directory)
        with open_segments(directory) as log:
            seq = prune(log, directory, ROWS, *people).seq
        assert (seq, "prune_invalid") in found(directory)
        assert (seq, "prune_invalid") in told_by_the_auditor(directory, tmp_path / f"o{number}")


def test_approvals_of_something_else_do_not_count(three: Path, tmp_path: Path) -> None:
    with open_segments(three) as log:
        seq = prune(log, three, ROWS, *PEOPLE, root="ab" * 32).seq
    assert found(three) == [(seq, "prune_invalid")]
    assert told_by_the_auditor(three, tmp_path / "out") == [(seq, "prune_invalid")]


@pytest.mark.parametrize("seqs", [[0, 1], [0], [ROWS - 1, 2 * ROWS + 9], []])
def test_approvals_that_are_older_than_what_goes_are_none(
    three: Path, tmp_path: Path, seqs: list[int]
) -> None:
    root = LogReader(three).root_before(ROWS)
    fields: dict[str, Json] = {"actor": "uid:0", "before": ROWS, "root": root, "reason": "old"}
    with open_segments(three) as log:
        (made,) = log.append(Draft("prune", {**fields, "approvals": [*seqs]})).result()
    assert found(three) == [(made.seq, "prune_invalid")]
    assert told_by_the_auditor(three, tmp_path / "out") == [(made.seq, "prune_invalid")]


def test_facts_name_each_file_and_its_latest_time(three: Path) -> None:
    facts = LogReader(three).segments()
    assert [(f.first, f.end) for f in facts] == [
        (0, ROWS), (ROWS, 2 * ROWS), (2 * ROWS, 2 * ROWS + 4),
    ]  # fmt: skip
    assert [f.latest_us for f in facts] == [1_764_000_000_000_000] * 2 + [None]
    assert all(f.size > 100_000 for f in facts[:2])
