"""Required contents of a copy before a prune."""

from pathlib import Path

import pytest

from appliance.audit.export import export
from appliance.audit.exported import copied
from appliance.audit.reader import LogReader
from appliance.errors import AuditRefused
from tests.audit.logs import flip
from tests.audit.segmented import ROWS, open_segments, prune


@pytest.fixture
def copy_of(three: Path, tmp_path: Path) -> Path:
    export(three, "tiles", tmp_path / "out")
    return tmp_path / "out"


def test_the_root_comes_from_the_bodies(three: Path, copy_of: Path) -> None:
    reader = LogReader(three)
    for size in (1, 255, 256, ROWS, 2 * ROWS + 3):
        assert copied(copy_of, size).root == reader.root_before(size)
    assert copied(copy_of, ROWS).first == 0


@pytest.mark.parametrize("change", ["body", "missing", "short", "longer than it is", "start"])
def test_a_copy_that_lacks_something(three: Path, copy_of: Path, change: str) -> None:
    bundle = copy_of / "tile" / "entries" / "001"
    if change == "body":
        bundle.write_bytes(flip(bundle.read_bytes(), 500))
        assert copied(copy_of, ROWS).root != LogReader(three).root_before(ROWS)
        return
    if change == "missing":
        bundle.unlink()
    elif change == "short":
        bundle.write_bytes(bundle.read_bytes()[:1_000])
    elif change == "start":
        (copy_of / "start").write_text("1024\n\n")
    size = 3 * ROWS if change == "longer than it is" else ROWS
    with pytest.raises(AuditRefused) as caught:
        copied(copy_of, size)
    assert caught.value.code == "export_invalid"


def test_a_copy_of_a_pruned_log_says_where_it_begins(three: Path, tmp_path: Path) -> None:
    with open_segments(three) as log:
        prune(log, three, ROWS, "Alice", "Bob")
    export(three, "tiles", tmp_path / "out")
    there = copied(tmp_path / "out", 2 * ROWS)
    assert (there.first, there.root) == (ROWS, LogReader(three).root_before(2 * ROWS))
