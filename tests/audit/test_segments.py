"""Several files read as one log."""

from pathlib import Path

import pytest

from appliance.audit.files import LogFiles
from appliance.audit.proof import check_proof
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.segments import Segments
from appliance.errors import NotFound
from tests.audit.logs import admin, found
from tests.audit.segmented import ROWS, open_segments


def test_the_files_are_found_in_order(three: Path) -> None:
    files = LogFiles(three)
    assert files.segments() == [
        (0, three / "log.db"),
        (ROWS, three / "log-0000000000001024.db"),
        (2 * ROWS, three / "log-0000000000002048.db"),
    ]
    (three / "log-12.db").touch()
    (three / "log-0000000000009999.db.new").touch()
    assert len(files.segments()) == 3


def test_every_entry_is_read_whatever_file_it_is_in(three: Path) -> None:
    reader = LogReader(three)
    size = reader.size
    assert size == 2 * ROWS + 4
    for seq in (0, ROWS - 1, ROWS, 2 * ROWS - 1, 2 * ROWS, size - 1):
        assert reader.entry(seq).seq == seq
        result = check_proof(reader.proof(seq), (three / "genesis.pub").read_bytes())
        assert result.seq == seq
    with pytest.raises(NotFound):
        reader.entry(size)
    assert [e.seq for e in reader.tail(6)] == list(range(size - 6, size))


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_search_goes_through_all_files(three: Path, newest_first: bool) -> None:
    reader = LogReader(three)
    page = reader.search(Query(kind="intent", newest_first=newest_first, limit=100))
    requests = [e.body["request_id"] for e in page.entries]
    expected = ["s0", "across-0", "s1", "across-1", "last"]
    assert requests == (expected[::-1] if newest_first else expected)
    asked, answered = reader.find_request("across-0", "k1")
    assert (asked.seq, answered and answered.seq) == (ROWS - 1, ROWS)
    since = Query(since_us=0, kind="intent", newest_first=newest_first)
    assert len(reader.search(since).entries) == 5


def test_ranges_over_the_edge_verify(three: Path) -> None:
    assert found(three) == []
    for first, last in ((0, ROWS - 1), (ROWS, None), (ROWS - 3, ROWS + 3), (ROWS + 5, 2 * ROWS)):
        assert found(three, first=first, last=last) == []


def test_texts_are_read_from_every_file(three: Path) -> None:
    reader = LogReader(three)
    for request in ("s0", "s1", "last"):
        asked, _ = reader.find_request(request, "k1")
        assert reader.content(asked.seq, "prompt") == b"What is the capital of France?"


def test_a_reader_notices_a_new_segment(three: Path) -> None:
    reader = LogReader(three)
    assert len(reader.segments()) == 3
    with open_segments(three) as log:
        log.append(*(admin("x") for _ in range(3 * ROWS - log.size))).result()
        log.append(admin("beyond")).result()
        assert reader.size == log.size == 3 * ROWS + 1
        assert reader.entry(3 * ROWS).body["action"] == "beyond"
    assert [f.first for f in reader.segments()] == [0, ROWS, 2 * ROWS, 3 * ROWS]
    reader.close()


def test_a_log_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Segments(LogFiles(tmp_path)).open():
        pass
