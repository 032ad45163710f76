"""The server's log lines in a file."""

import array
import fcntl
import functools
import json
import logging
import os
import stat
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.clock import iso
from appliance.observability import log_file, log_lines

LOG = logging.getLogger("appliance.test")


@pytest.fixture
def all_levels() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(level)


@pytest.fixture
def kept(tmp_path: Path, all_levels: None) -> Iterator[Path]:
    with log_file.kept(tmp_path, 1):
        yield tmp_path


def written() -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()


def messages(data: Path, **wanted: object) -> list[str]:
    written()
    return [line.message for line in log_file.read(data, **wanted)]  # type: ignore[arg-type]


def test_what_was_logged_is_read_back_with_its_ids(kept: Path) -> None:
    LOG.info("one", extra={"request_id": "req-1"})
    LOG.warning("two")
    written()
    first, second = log_file.read(kept)
    assert (first.message, first.level, first.fields) == ("one", "info", {"request_id": "req-1"})
    assert second.level == "warning" and first.id != second.id
    assert stat.S_IMODE(log_file.log_file(kept).stat().st_mode) == 0o600


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
    written()
    (line,) = log_file.read(kept)
    LOG.info("two")
    assert messages(kept, after=line.id) == ["two"]
    assert messages(kept, after="another process's") == ["one", "two"]


def test_reading_crosses_blocks_and_the_file_before(kept: Path) -> None:
    long = "x" * 900
    for n in range(1_300):  # beyond one MiB: the file was changed in between
        LOG.info("%s %s", n, long)
    written()
    assert log_file.log_file(kept).with_name("server.jsonl.1").exists()
    numbers = [int(text.split()[0]) for text in messages(kept, limit=1_000)]
    assert numbers == list(range(300, 1_300))


@pytest.mark.parametrize("cut", [b'{"id": "1.1", "mess', b"null\n", b"\xff\xfe\n", b"[1]\n", b""])
def test_a_file_that_was_cut_or_damaged_is_no_error(tmp_path: Path, cut: bytes) -> None:
    path = log_file.log_file(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b'{"id": "1.0", "level": "info", "message": "whole"}\n' + cut)
    assert messages(tmp_path) == ["whole"]


def test_no_file_has_no_lines_and_zero_keeps_none(tmp_path: Path) -> None:
    with log_file.kept(tmp_path, 0):
        LOG.error("x")
    assert messages(tmp_path) == [] and not (tmp_path / "logs").exists()


def test_the_last_lines_are_written_before_the_end(tmp_path: Path, all_levels: None) -> None:
    with log_file.kept(tmp_path, 1):
        for n in range(100):
            LOG.info("line %s", n)
    LOG.info("too late")
    assert messages(tmp_path, limit=1) == ["line 99"]


def test_a_file_that_was_taken_away_is_made_anew(kept: Path) -> None:
    LOG.info("one")
    written()
    log_file.log_file(kept).unlink()
    for _ in range(1_100):
        LOG.info("x" * 1_000)
    assert messages(kept, limit=1) == ["x" * 1_000]


# a disk that hangs


@pytest.fixture
def hanging(tmp_path: Path, all_levels: None) -> Iterator[int]:
    """In place of the file, a pipe that nobody reads: writing to it does not return."""
    path = log_file.log_file(tmp_path)
    path.parent.mkdir()
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield descriptor
    os.close(descriptor)


def test_nobody_waits_for_a_disk_that_hangs(
    tmp_path: Path, hanging: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, in_pipe = 500, 400  # lines that may wait; more than the pipe takes
    monkeypatch.setattr(log_file, "Unwaited", functools.partial(log_lines.Unwaited, most=most))
    with log_file.kept(tmp_path, 1):
        # Whoever waits for the disk would stay here. More lines than the pipe takes, the thread
        # holds and may wait together.
        for n in range(2 * (2 * most + in_pipe)):
            LOG.info("%s %s", n, "x" * 200)
    # At the end, too, it is waited for only so long; lines that found no room are missing.
    os.set_blocking(hanging, True)
    with os.fdopen(os.dup(hanging), encoding="utf-8") as lines:
        seen: list[dict[str, str]] = []
        while not seen or "were dropped" not in seen[-1]["message"]:
            seen.append(json.loads(lines.readline()))
    numbers = [int(line["id"].rpartition(".")[2]) for line in seen]
    assert numbers == sorted(numbers) and most < len(numbers) < 2 * most + in_pipe


def test_writing_by_oneself_would_wait(tmp_path: Path, hanging: int) -> None:
    """The control: the same pipe holds up a handler that writes by itself."""
    handler = logging.FileHandler(log_file.log_file(tmp_path))
    ended = threading.Event()

    def log() -> None:
        for _ in range(6_000):
            handler.handle(logging.LogRecord("a", logging.INFO, "f", 1, "x" * 200, (), None))
        ended.set()

    thread = threading.Thread(target=log)
    thread.start()
    held = array.array("i", [0])
    while held[0] < 60_000:  # until the pipe is full
        fcntl.ioctl(hanging, termios.FIONREAD, held)
    assert not ended.is_set()
    reader = threading.Thread(target=lambda: [*iter(lambda: os.read(hanging, 1 << 16), b"")])
    os.set_blocking(hanging, True)
    reader.start()
    assert ended.wait(60)
    handler.close()
    thread.join()
    reader.join()


def test_a_full_disk_is_known_and_so_is_its_end(tmp_path: Path, all_levels: None) -> None:
    (tmp_path / "logs").mkdir()
    log_file.log_file(tmp_path).symlink_to("/dev/full")
    fares = log_file.Kept()
    with log_file.kept(tmp_path, 1, fares):
        LOG.info("lost")
        written()
        assert fares.problem == "No space left on device"
    log_file.log_file(tmp_path).unlink()
    with log_file.kept(tmp_path, 1, fares):
        LOG.info("kept")
        written()
        assert fares.problem == ""


def test_a_place_that_cannot_be_had_stops_no_server(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no directory")
    fares = log_file.Kept()
    with log_file.kept(tmp_path, 1, fares):
        LOG.warning("on stderr alone")
    assert fares.problem


def test_lines_that_go_are_known_by_the_oldest_that_is_left(
    tmp_path: Path, all_levels: None
) -> None:
    fares = log_file.Kept()
    with log_file.kept(tmp_path, 1, fares):
        for _ in range(3):  # the file, its predecessor, and what then goes
            assert fares.kept_from_us is None
            for _ in range(90):
                LOG.info("x" * 10_000)
            written()
    first = json.loads(
        log_file.log_file(tmp_path).with_suffix(".jsonl.1").read_text().split("\n")[0]
    )
    assert fares.kept_from_us is not None
    assert iso(fares.kept_from_us)[:19] == first["time"][:19]
