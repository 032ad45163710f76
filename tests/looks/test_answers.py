"""Answers to the items of a look: kept by the batch, asked once, or again where wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.jobs.kind import Stop
from appliance.looks.answers import BATCH, LookFiles, SealedAnswers, answered, side_by_side

KEK = bytes(range(32))


@dataclass(frozen=True)
class Question:
    id: str


@dataclass(frozen=True)
class Line:
    item: str
    lost: bool = False

    def line(self) -> bytes:
        return f"{self.item} {self.lost}\n".encode()


def parse(line: bytes) -> Line:
    item, lost = line.decode().split()
    return Line(item, lost == "True")


ITEMS = [Question(f"i{n:03}") for n in range(2 * BATCH + 1)]


class Work:
    """A job that runs in the thread of the test."""

    async def in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    async def unless_stopped(self, work: Any) -> Any:
        return await work


class Asker:
    def __init__(self, lost: Sequence[str] = ()) -> None:
        self.lost, self.asked = set(lost), list[str]()

    async def ask(self, item: Question) -> Line:
        self.asked.append(item.id)
        return Line(item.id, item.id in self.lost)


@pytest.fixture
def file(tmp_path: Path) -> SealedAnswers[Line]:
    return LookFiles(tmp_path / "7", KEK).answers("000.sealed", parse)


async def run(file: SealedAnswers[Line], asker: Asker, **more: Any) -> list[Line]:
    job: Any = Work()
    report = more.pop("report", lambda _: None)
    return await answered(job, file.read, file.append, ITEMS, asker.ask, 4, report, **more)


async def test_what_was_answered_before_a_stop_is_not_asked_again(
    file: SealedAnswers[Line],
) -> None:
    first, second, told = Asker(), Asker(), list[int]()

    def stopping(done: int) -> None:
        told.append(done)
        if done == 2 * BATCH:
            raise Stop("job_interrupted", "The server ended.")

    with pytest.raises(Stop):
        await run(file, first, report=stopping)
    assert told == [0, BATCH, 2 * BATCH] and len(first.asked) == 2 * BATCH
    found = await run(file, second)
    assert second.asked == [ITEMS[-1].id]
    assert [each.item for each in found] == [item.id for item in ITEMS]
    control = Asker()
    assert await run(file, control) == found and control.asked == []


async def test_what_is_asked_again_is_told_by_its_newest_answer(file: SealedAnswers[Line]) -> None:
    await run(file, Asker(lost=["i003", "i004"]))
    asker = Asker(lost=["i004"])
    found = await run(file, asker, again=lambda kept: {n for n, o in kept.items() if o.lost})
    assert sorted(asker.asked) == ["i003", "i004"]
    assert [each.item for each in found if each.lost] == ["i004"]
    newest = {each.item: each for each in file.read()}
    assert {name for name, each in newest.items() if each.lost} == {"i004"}


async def test_one_release_and_engine_answers_all(
    tmp_path: Path, file: SealedAnswers[Line]
) -> None:
    files = LookFiles(tmp_path / "7", KEK)
    assert files.others("2.0") == ""
    await run(file, Asker())
    assert files.others("1.0") == "an older release"  # which wrote no name
    files.begin("1.0")
    assert file.read() == []
    kept = await run(file, Asker())
    files.begin("1.0")
    assert file.read() == kept and files.others("2.0") == "1.0"


async def test_the_first_error_ends_the_rest() -> None:
    async def ask(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    assert await side_by_side(ask, [1, 2], 2) == [1, 2]
    with pytest.raises(ValueError, match="three"):
        await side_by_side(ask, [1, 2, 3, 4], 1)


def test_the_log_names_an_item_by_the_key_of_its_job(tmp_path: Path) -> None:
    one, other = LookFiles(tmp_path / "7", KEK), LookFiles(tmp_path / "8", KEK)
    assert one.alias("i1") == LookFiles(tmp_path / "7", KEK).alias("i1")
    assert one.alias("i1") not in (other.alias("i1"), "i1")
