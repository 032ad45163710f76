"""A row in the wrong file; the rest is in test_verify.py and test_pruning.py."""

import shutil
from pathlib import Path

import pytest

from appliance.audit.files import LogFiles
from appliance.audit.segments import Segments
from appliance.audit.verification.findings import Findings
from appliance.audit.verification.surroundings import Around
from appliance.errors import AuditRefused
from tests.audit.logs import Intruder, ask, found, open_log
from tests.audit.segmented import ROWS


def test_a_row_in_a_file_that_is_not_its_own_is_told(three: Path) -> None:
    row = Intruder(three).rows()[5]
    there = Intruder(three, LogFiles(three).segment(ROWS))
    there.write([*there.rows(), row])
    assert (ROWS, "entry_unexpected") in found(three)


def test_a_log_that_is_whole_has_no_finding(three: Path) -> None:
    findings = Findings()
    with Segments(LogFiles(three)).open() as log:
        around = Around(log, findings)
        around.pruned(0, "")
        around.head(LogFiles(three).head.read_bytes())
    assert (findings.count, around.size) == (0, 2 * ROWS + 4)
    around.head(None)
    assert [p.code for p in findings.kept] == ["head_missing"]


def test_a_text_of_an_entry_that_is_not_there(victim: Path) -> None:
    Intruder(victim).sql("INSERT INTO content VALUES (40, 'prompt', x'00', x'00')")
    assert found(victim) == [(40, "content_unexpected")]


def test_a_carried_handover_that_is_another_one(three: Path) -> None:
    there = Intruder(three, LogFiles(three).segment(ROWS))
    assert found(three) == []
    size = there.one("SELECT size FROM handover")[0]
    there.sql("UPDATE handover SET record = zeroblob(112)")
    assert found(three) == [(size - 1, "handover_invalid")] * 2  # the one told, the one missing
    there.sql("DELETE FROM handover")
    assert found(three) == [(size - 1, "handover_invalid")]


NOTHING = "zeroblob(12), zeroblob(32))"
STRAYS = {
    f"INSERT INTO content VALUES (-5, 'prompt', {NOTHING}": (0, "content_unexpected"),
    f"INSERT INTO content VALUES (40, 'prompt', {NOTHING}": (40, "content_unexpected"),
    f"INSERT INTO content VALUES (9999, 'x', {NOTHING}": (9_999, "content_unexpected"),
    "INSERT INTO checkpoint VALUES (0, x'00')": (0, "checkpoint_unexpected"),
    "INSERT INTO checkpoint VALUES (-3, x'00')": (0, "checkpoint_unexpected"),
    "INSERT INTO checkpoint VALUES (41, x'00')": (40, "tail_missing"),
    "INSERT INTO node VALUES (8, 0, zeroblob(32))": (0, "node_mismatch"),
    "INSERT INTO node VALUES (8, -1, zeroblob(32))": (0, "node_mismatch"),
    "INSERT INTO node VALUES (7, 0, zeroblob(32))": (0, "node_mismatch"),
    "INSERT INTO node VALUES (64, 0, zeroblob(32))": (0, "node_mismatch"),
    "INSERT INTO span VALUES (0, 1, 2)": (0, "index_mismatch"),
    "INSERT INTO span VALUES (-1, 1, 2)": (0, "index_mismatch"),
}


@pytest.mark.parametrize("planted", STRAYS)
def test_a_row_outside_of_the_log_is_told_and_the_log_not_continued(
    intruder: Intruder, victim: Path, tmp_path: Path, planted: str
) -> None:
    """The control: without the row the same commits succeed."""
    shutil.copytree(victim, tmp_path / "control")
    intruder.sql(planted)
    assert found(victim) == [STRAYS[planted]]
    with pytest.raises(AuditRefused) as caught:
        open_log(victim)
    assert caught.value.code == "audit_corrupt"
    with open_log(tmp_path / "control") as log:
        ask(log, "more")
    assert found(tmp_path / "control") == []


INSIDE = {
    f"INSERT INTO content VALUES (3, 'prompt', {NOTHING}": (3, "content_unexpected"),
    f"INSERT INTO content VALUES ({ROWS}, 'x', {NOTHING}": (ROWS, "content_unexpected"),
    f"INSERT INTO checkpoint VALUES ({ROWS + 1}, x'00')": (ROWS, "checkpoint_unexpected"),
    f"INSERT INTO checkpoint VALUES ({9 * ROWS}, x'00')": (9 * ROWS - 1, "checkpoint_unexpected"),
    f"INSERT INTO node VALUES (8, {ROWS // 256}, zeroblob(32))": (0, "node_mismatch"),
    "INSERT INTO span VALUES (1, 1, 2)": (ROWS, "index_mismatch"),
}


@pytest.mark.parametrize("planted", INSIDE)
def test_a_row_in_a_segment_that_has_ended(three: Path, planted: str) -> None:
    there = Intruder(three, LogFiles(three).segments()[0][1])
    there.sql(planted)
    assert found(three) == [INSIDE[planted]]
