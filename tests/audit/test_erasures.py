"""The log's statements about missing keys."""

from pathlib import Path

from appliance.audit.erasures import Erasures, named
from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.audit.segments import Segments
from tests.audit.logs import erasure, open_log
from tests.audit.segmented import ROWS, open_segments, prune


def test_what_an_entry_names_and_what_is_recorded_later(victim: Path) -> None:
    segments, reader = Segments(LogFiles(victim)), LogReader(victim)
    with segments.open() as seen, open_log(victim) as log:
        erasures = Erasures(seen)
        assert 2 not in erasures
        log.append(erasure(reader, "single-0", "uid:0", "asked for")).result()
        assert 2 in erasures and 3 in erasures
        assert 4 not in erasures
        assert list(named(seen)) == [2, 3]
    segments.close()
    reader.close()


def test_what_was_pruned_needs_no_erasure(three: Path) -> None:
    with open_segments(three) as log:
        prune(log, three, ROWS, "Alice", "Bob")
    segments = Segments(LogFiles(three))
    with segments.open() as log_now:
        erasures = Erasures(log_now)
        assert 5 in erasures and ROWS - 1 in erasures
        assert ROWS not in erasures
    segments.close()
