"""The installer's notes about its backups."""

from pathlib import Path

import pytest

from appliance.governance import backups


def test_the_newest_is_the_last(tmp_path: Path) -> None:
    (tmp_path / backups.FILE).write_text(
        '{"backups": [{"time": "2026-11-02T00:00:00+00:00", "file": "b", "release": "2"},'
        ' {"time": "2026-11-01T00:00:00Z", "file": "a", "bytes": 9}]}'
    )
    assert [each.file for each in backups.known(tmp_path)] == ["a", "b"]
    assert backups.known(tmp_path)[0].made_us == 1_793_491_200_000_000


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"backups": [{"time": 3}]}', "\udcff"])
def test_a_file_that_cannot_be_read_has_none(tmp_path: Path, text: str) -> None:
    (tmp_path / backups.FILE).write_bytes(text.encode(errors="surrogateescape"))
    assert backups.known(tmp_path) == []
    assert backups.known(tmp_path / "none") == []
