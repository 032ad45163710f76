"""Suites with many alike cases: a part of them in `make test`, all of them in `make test-swept`.

- A suite is one test function, marked `swept` beside it; `LIST` has its counts: here, there.
- The commit draws the part, so each commit tries other cases and every run of it the same.
- What each check of the product needs runs whole here, in a suite that is not swept.
"""

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

LIST = Path(__file__).with_name("sweeps.txt")


class Counts(NamedTuple):
    """Cases of a suite: in `make test`, and in the sweep."""

    here: int
    there: int


def read(text: str) -> dict[str, Counts]:
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {suite: Counts(int(here), int(there)) for here, there, suite in rows}


def seed() -> str:
    """The commit of this checkout; without Git a constant."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, cwd=LIST.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return done.stdout.strip()


def drawn(cases: Sequence[str], count: int, by: str) -> set[str]:
    """Chosen by a text."""
    return set(sorted(cases, key=lambda c: hashlib.sha256(f"{by} {c}".encode()).digest())[:count])


def keep(
    cases: Sequence[str], counts: dict[str, Counts], *, by: str, named: bool
) -> tuple[set[str], dict[str, str]]:
    """The ids of marked cases that run here; and problems of suites that the list has wrongly.

    Args:
        named: single tests were asked for by their ids: those run.
    """
    if named:
        return set(cases), {}
    suites: dict[str, list[str]] = {}
    for case in cases:
        suites.setdefault(case.partition("[")[0], []).append(case)
    wrong = {
        suite: f"{len(found)} cases, but {LIST.name} says {counts.get(suite, 'nothing')}"
        for suite, found in suites.items()
        if suite not in counts or counts[suite].there != len(found)
    }
    right = suites.keys() - wrong
    return {each for s in right for each in drawn(suites[s], counts[s].here, by)}, wrong


class Wrong(pytest.Item):
    """A test that fails: under xdist an error of the collection is shown without its reason."""

    says: str

    def runtest(self) -> None:
        pytest.fail(self.says, pytrace=False)


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("swept")]
    if not marked or config.getoption("--whole"):
        return
    named = any("::" in argument for argument in config.args)
    listed = read(LIST.read_text(encoding="utf-8"))
    stays, wrong = keep([item.nodeid for item in marked], listed, by=seed(), named=named)
    left = {item for item in marked if item.nodeid not in stays}
    config.hook.pytest_deselected(items=list(left))
    items[:] = [item for item in items if item not in left]
    for suite, says in wrong.items():
        item: Wrong = Wrong.from_parent(marked[0].session, name=LIST.name, nodeid=suite)
        item.says = says
        items.append(item)
