"""Files on their way in: cut at the ends of lines, within limits, with little in memory."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from appliance.batches.files import LEAST_BYTES, KeptFiles
from appliance.batches.incoming import PART_BYTES, FileLimits, IncomingFile
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import BadRequest, Overloaded, TooLarge
from appliance.wiring.schema import FILES

MIB = 1 << 20
DAY_US = 86_400_000_000
LIMITS = FileLimits(64 * MIB, 128 * MIB, 1_000_000, 4 * MIB)


@pytest.fixture
def files(tmp_path: Path) -> KeptFiles:
    database = open_database(tmp_path / "files.db", FILES, erases=True)
    return KeptFiles(database, FixedClock(0), lambda: b"k" * 32)


def incoming(files: KeptFiles, limits: FileLimits = LIMITS) -> IncomingFile:
    made = IncomingFile(files, limits, "app", DAY_US)
    made.begin("lines.jsonl")
    return made


def test_a_large_file_is_never_whole_in_memory(files: KeptFiles) -> None:
    one, chunk = incoming(files), b'{"custom_id": "a"}\n' * 3_000  # 57 kB
    tracemalloc.start()
    for _ in range(300):
        one.take(chunk)
    kept = one.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept.lines == 900_000 and kept.bytes == 300 * len(chunk)
    assert peak < 8 * PART_BYTES < kept.bytes / 8
    assert max(len(part.text) for part in files.parts(kept.id)) <= PART_BYTES + len(chunk)


def test_a_line_of_four_mebibytes_passes_and_one_byte_more_does_not(files: KeptFiles) -> None:
    one = incoming(files)
    for _ in range(4):
        one.take(b"x" * MIB)
    one.take(b"\n{}")
    assert one.finish().lines == 2
    two = incoming(files)
    with pytest.raises(BadRequest) as caught:
        for _ in range(5):
            two.take(b"x" * MIB)
    assert caught.value.code == "batch_line_too_long"
    two.drop()
    assert files.used("app") == 4 * MIB + 3


def test_the_smallest_files_fill_the_room_of_a_key(files: KeptFiles) -> None:
    limits = FileLimits(MIB, 10 * LEAST_BYTES, 10, MIB)
    for _ in range(10):
        one = incoming(files, limits)
        one.take(b"{}\n")
        one.finish()
    with pytest.raises(Overloaded):
        incoming(files, limits)


class _Looked(bytearray):
    total = 0

    def rfind(self, *given: Any) -> int:
        self.total += len(self)
        return super().rfind(*given)


def test_a_line_that_comes_in_crumbs_is_looked_through_once(files: KeptFiles) -> None:
    one, seen = incoming(files), _Looked()
    one._rest = seen
    for _ in range(MIB // 16):
        one.take(b"abcdefgh" * 8)
    assert len(seen) == 4 * MIB and seen.total <= 4 * MIB
    one.take(b"\n{}")
    assert one.finish().lines == 2


def test_lines_and_bytes_have_their_limits(files: KeptFiles) -> None:
    few = incoming(files, FileLimits(MIB, MIB, 10, MIB))
    few.take(b"{}\n" * 10 + b"{}")
    with pytest.raises(BadRequest) as caught:
        few.finish()
    assert caught.value.code == "batch_too_many_lines"
    few.drop()
    with pytest.raises(TooLarge):
        incoming(files, FileLimits(10, MIB, 10, MIB)).take(b"x" * 11)
