"""The server's log lines in a file."""

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import logbook

LOG = logging.getLogger("appliance.test")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose file is written, with a very small limit."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.setLevel(logging.DEBUG)
    logbook.keep(tmp_path, 1)
    yield tmp_path
    root.setLevel(level)
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()


def messages(data: Path, **wanted: object) -> list[str]:
    return [line.message for line in logbook.read(data, **wanted)]  # type: ignore[arg-type]


def test_what_was_logged_is_read_back_with_its_ids(kept: Path) -> None:
    LOG.info("one", extra={"request_id": "req-1"})
    LOG.warning("two")
    first, second = logbook.read(kept)
    assert (first.message, first.level, first.fields) == ("one", "info", {"request_id": "req-1"})
    assert second.level == "warning" and first.id != second.id
    assert stat.S_IMODE(logbook.log_file(kept).stat().st_mode) == 0o600


def test_level_text_and_limit_choose_the_newest(kept: Path) -> None:
    LOG.debug("deep")
    for n in range(5):
        LOG.info("line %s", n)
    LOG.error("It broke", extra={"code": "file_changed"})
    assert messages(kept, limit=2) == ["line 4", "It broke"]
    assert messages(kept, level="warning") == ["It broke"]
    assert messages(kept, text="BROKE") == ["It broke"] == messages(kept, text="file_ch")
    assert messages(kept, level="debug")[0] == "deep" and "deep" not in messages(kept)


def test_following_goes_on_after_a_line(kept: Path) -> None:
    LOG.info("one")
    (line,) = logbook.read(kept)
    LOG.info("two")
    assert messages(kept, after=line.id) == ["two"]
    assert messages(kept, after="another process's") == ["one", "two"]


def test_reading_crosses_blocks_and_the_file_before(kept: Path) -> None:
    long = "x" * 900
    for n in range(1_300):  # beyond one MiB: the file was changed in between
        LOG.info("%s %s", n, long)
    assert logbook.log_file(kept).with_name("server.jsonl.1").exists()
    numbers = [int(text.split()[0]) for text in messages(kept, limit=1_000)]
    assert numbers == list(range(300, 1_300))


@pytest.mark.parametrize("cut", [b'{"id": "1.1", "mess', b"null\n", b"\xff\xfe\n", b"[1]\n", b""])
def test_a_file_that_was_cut_or_damaged_is_no_error(tmp_path: Path, cut: bytes) -> None:
    path = logbook.log_file(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b'{"id": "1.0", "level": "info", "message": "whole"}\n' + cut)
    assert messages(tmp_path) == ["whole"]


def test_no_file_has_no_lines_and_zero_keeps_none(tmp_path: Path) -> None:
    logbook.keep(tmp_path, 0)
    assert messages(tmp_path) == [] and not (tmp_path / "logs").exists()
