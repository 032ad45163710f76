"""A row in the wrong file; the rest is in test_verify.py and test_pruning.py."""

from pathlib import Path

from appliance.audit.files import LogFiles
from appliance.audit.segments import Segments
from appliance.audit.verification.findings import Findings
from appliance.audit.verification.surroundings import Around
from tests.audit.logs import Intruder, found
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
