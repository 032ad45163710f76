"""Answers to the items of a look: asked a batch at a time, each batch encrypted and durable before
the next, so that a stopped look continues at the item. One release and engine answers all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from appliance.jobs.kind import Context
from appliance.looks.sealed_lines import SealedLines, alias, key_of
from appliance.trust.bytes import durable

BATCH: Final = 32
_BY: Final = "answered-by"
S = TypeVar("S")
T = TypeVar("T")


class Askable(Protocol):
    """An item that is asked."""

    @property
    def id(self) -> str: ...


class Lined(Protocol):
    """An outcome as a line, of any measurement."""

    @property
    def item(self) -> str: ...

    def line(self) -> bytes:
        """Canonical JSON."""
        ...


A = TypeVar("A", bound=Askable)
L = TypeVar("L", bound=Lined)


class LookFiles:
    """A job's encrypted files."""

    def __init__(self, directory: Path, kek: bytes) -> None:
        self.directory, self.key = directory, key_of(directory, kek)

    def alias(self, item: str) -> str:
        return alias(self.key, item)

    def others(self, by: str) -> str:
        """Another release or engine that gave the kept answers; "" where none did."""
        if not any(self.directory.glob("*.sealed")):
            return ""
        file = self.directory / _BY
        before = file.read_text(encoding="utf-8") if file.exists() else "an older release"
        return "" if before == by else before

    def begin(self, by: str) -> None:
        """Forget the answers of others, so that everything judged was asked and scored alike."""
        for kept in self.directory.glob("*.sealed") if self.others(by) else ():
            kept.unlink()
        durable.replace(self.directory / _BY, by.encode())

    def answers(self, name: str, parse: Callable[[bytes], L]) -> "SealedAnswers[L]":
        return SealedAnswers(SealedLines(self.directory / name, self.key), parse)


class SealedAnswers(Generic[L]):
    """The answers in one encrypted file."""

    def __init__(self, lines: SealedLines, parse: Callable[[bytes], L]) -> None:
        self._lines, self._parse = lines, parse

    def read(self) -> list[L]:
        """Oldest first. Raises EvaluationRefused (`outcomes_invalid`)."""
        return [*map(self._parse, self._lines.read())]

    def append(self, answers: Sequence[L]) -> None:
        """Add answers durably; call `read` first."""
        self._lines.append([each.line().rstrip(b"\n") for each in answers])


async def answered(
    job: Context,
    read: Callable[[], Iterable[L]],
    keep: Callable[[Sequence[L]], None],
    items: Sequence[A],
    ask: Callable[[A], Awaitable[L]],
    slots: int,
    report: Callable[[int], None],
    again: Callable[[Mapping[str, L]], set[str]] = lambda _: set(),
) -> list[L]:
    """All answers, kept ones among them.

    Args:
        read: the kept answers; the newest of an item counts.
        report: gets the number done; the job may stop there.
        again: which of the kept ones are asked again.
    """
    kept = {each.item: each for each in await job.in_thread(read)}
    redo = again(kept)
    done = {name: each for name, each in kept.items() if name not in redo}
    left = [item for item in items if item.id not in done]
    for start in range(0, len(left), BATCH):
        report(len(done))
        batch = side_by_side(ask, left[start : start + BATCH], slots)
        fresh = await job.unless_stopped(batch)
        await job.in_thread(keep, fresh)
        done |= {each.item: each for each in fresh}
    return list(done.values())


async def side_by_side(ask: Callable[[S], Awaitable[T]], items: Sequence[S], slots: int) -> list[T]:
    """Ask for all, so many at once; the first error that is not an outcome ends the rest."""
    gate = asyncio.Semaphore(slots)

    async def one(item: S) -> T:
        async with gate:
            return await ask(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
