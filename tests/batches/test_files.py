"""Files in parts: encrypted, by key, erased line by line, gone when they are over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from appliance.batches.files import (
    ERASED,
    INPUT,
    LEAST_BYTES,
    OUTPUT,
    KeptFile,
    KeptFiles,
    lines_of,
)
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import AuditRefused, BadRequest, NotFound
from appliance.wiring.schema import FILES

KEK, DAY_US = b"k" * 32, 86_400_000_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(tmp_path / "files.db", FILES, erases=True)
    yield made
    made.dispose()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(1_000_000)


@pytest.fixture
def files(database: Engine, clock: FixedClock) -> KeptFiles:
    return KeptFiles(database, clock, lambda: KEK)


def made(files: KeptFiles, *parts: bytes, until_us: int = DAY_US) -> str:
    file, number = files.begin("app", INPUT, "names of patients.jsonl", until_us), 0
    for part in parts:
        files.append(file, number, part, len(lines_of(part)))
        number += len(lines_of(part))
    return files.finish(file).id


def listed(
    files: KeptFiles, after: str | None = None, most: int = 9, *, newest_first: bool = True
) -> list[KeptFile]:
    return files.listed("app", None, after, most, newest_first=newest_first)


def text(files: KeptFiles, file: str) -> bytes:
    return b"".join(part.text for part in files.parts(file))


def test_what_was_sent_comes_back_and_nothing_of_it_lies_on_the_disk(
    files: KeptFiles, tmp_path: Path
) -> None:
    file = made(files, b"one secret\n" * 3, b"two secret\n", b"the last")
    found = files.get("app", file)
    assert (found.name, found.bytes, found.lines) == ("names of patients.jsonl", 52, 5)
    assert text(files, file) == b"one secret\n" * 3 + b"two secret\nthe last"
    assert [part.number for part in files.parts(file, 3)] == [3, 4]
    for path in tmp_path.iterdir():
        assert b"secret" not in path.read_bytes() and b"patients" not in path.read_bytes()


def test_another_key_another_place_and_another_kek_find_nothing(
    files: KeptFiles, database: Engine, clock: FixedClock
) -> None:
    file = made(files, b"x\n")
    with pytest.raises(NotFound):
        files.get("stranger", file)
    with pytest.raises(AuditRefused):
        list(KeptFiles(database, clock, lambda: b"o" * 32).parts(file))
    with database.begin() as connection:  # a part that was moved
        connection.exec_driver_sql("UPDATE file_parts SET number = 7 WHERE number = 0")
    with pytest.raises(AuditRefused):
        list(files.parts(file))


def test_one_line_is_erased_and_the_others_stay(files: KeptFiles, tmp_path: Path) -> None:
    file = made(files, b"a\nb\nc\n", b"d\n")
    assert files.has(file, 1) and files.has(file, 3) and not files.has(file, 4)
    files.erase(file, 1)
    files.erase(file, 1)
    assert text(files, file) == b"a\n" + ERASED + b"c\nd\n"
    assert files.get("app", file).bytes == len(text(files, file))
    assert not files.has(file, 1)


def test_a_line_that_ends_in_another_way_is_one_line() -> None:
    assert lines_of(b"a\rb\x0b\x85\n\nc") == [b"a\rb\x0b\x85\n", b"\n", b"c"]


def test_what_is_over_goes_unless_something_needs_it(files: KeptFiles, clock: FixedClock) -> None:
    old, used, fresh = (
        made(files, b"1\n"),
        made(files, b"2\n"),
        made(files, b"3\n", until_us=9 * DAY_US),
    )
    clock.now_us = 2 * DAY_US
    with pytest.raises(NotFound):
        files.get("app", old)
    files.tidy([used])
    assert files.used("app") == 2 * LEAST_BYTES and files.known(used).id == used
    assert [one.id for one in listed(files)] == [fresh]
    with pytest.raises(NotFound):
        files.known(old)


def test_pages_of_a_list_are_the_whole_list(files: KeptFiles, clock: FixedClock) -> None:
    for _ in range(5):
        made(files, b"x\n")
        made(files, b"x\n")  # at the same time
        clock.now_us += 1
    for newest_first in (True, False):
        found: list[str] = []
        while page := listed(files, found[-1] if found else None, 3, newest_first=newest_first):
            assert len(page) <= 3
            found += [one.id for one in page]
        assert found == [one.id for one in listed(files, None, 99, newest_first=newest_first)]
        assert len(found) == 10
    with pytest.raises(BadRequest):
        listed(files, "file-0")


def test_files_are_read_while_another_one_is_written(files: KeptFiles, database: Engine) -> None:
    file = made(files, b"x\n")
    with database.begin():  # it has the write lock
        assert text(files, file) == b"x\n"
        assert [one.id for one in listed(files)] == [file]
        assert files.get("app", file).lines == 1 and files.used("app") == LEAST_BYTES


def test_what_was_cut_off_goes_at_the_start(files: KeptFiles) -> None:
    half, writing = (files.begin("app", purpose, "x", DAY_US) for purpose in (INPUT, OUTPUT))
    files.append(half, 0, b"1\n", 1)
    files.tidy([])
    assert files.known(half).lines == 1
    files.tidy([writing], [writing])
    with pytest.raises(NotFound):
        files.known(half)
    assert files.known(writing).lines == 0
