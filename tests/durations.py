"""Processor seconds of the test modules: measured in each run, recorded in the tree.

- A test costs user and system time of its process and of the children that it waited for.
- `RECORD` names the modules that take a second or more; the longest begin first, so that none of
  them runs alone at the end.
- `make test RECORD=1` writes it anew, on two idle cores.

    python -m tests.durations     the packages, the most expensive first
"""

import os
from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

RECORD = Path(__file__).with_name("durations.txt")
_SHOWN = 12
_HEAD = "# Processor seconds of the test modules that take one or more: `make test RECORD=1`.\n"


def read(text: str) -> dict[str, float]:
    """Seconds by module; `REST` has the modules that are not named."""
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {name: float(seconds) for seconds, name in lines}


REST = "others"


def write(measured: Mapping[str, float]) -> str:
    long = {name: seconds for name, seconds in measured.items() if seconds >= 1}
    rest = sum(measured.values()) - sum(long.values())
    rows = [*sorted(long.items(), key=lambda item: (-item[1], item[0])), (REST, rest)]
    return _HEAD + "".join(f"{seconds:7.1f} {name}\n" for name, seconds in rows)


def recorded() -> dict[str, float]:
    return read(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def by_package(seconds: Mapping[str, float]) -> Counter[str]:
    """`tests/tui/view/test_jobs.py` is of `tui`."""
    sums: Counter[str] = Counter()
    for name, each in seconds.items():
        parts = name.split("/")
        sums[parts[1] if len(parts) > 2 else parts[-1]] += each  # type: ignore[assignment]
    return sums


def _table(title: str, seconds: Mapping[str, float]) -> list[str]:
    rows = Counter(dict(seconds)).most_common(_SHOWN)
    return [title, *(f"{each:7.1f}  {name}" for name, each in rows)]


def longest_first(items: list[pytest.Item]) -> None:
    """By groups."""
    known, costs = recorded(), Counter[str]()
    for module, group in {(_module(item), _group(item)) for item in items}:
        costs[group] += known.get(module, 0)  # type: ignore[assignment]
    items.sort(key=lambda item: -costs[_group(item)])


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else _module(item)


class Meter:
    """Measures in the processes that run tests; sums, shows and records in the one that reports."""

    def __init__(self, *, record: bool) -> None:
        self._record = record
        self._last = _spent()
        self._sums: dict[str, float] = {}

    def pytest_collection_finish(self) -> None:
        """What was spent so far is nobody's."""
        self._last = _spent()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put a phase's time into its report; xdist carries it over."""
        report = yield
        now = _spent()
        vars(report)["processor"] = now - self._last
        self._last = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        module = report.nodeid.partition("::")[0]
        self._sums[module] = self._sums.get(module, 0) + getattr(report, "processor", 0)

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """After a run of many modules: the longest, and the record of the whole."""
        if hasattr(config, "workerinput") or len(self._sums) < _SHOWN:
            return
        total, before = sum(self._sums.values()), sum(recorded().values())
        title = f"processor seconds: {total:.0f} in tests (the record has {before:.0f})"
        terminalreporter.section("durations")
        for line in _table(title, by_package(self._sums)) + _table("modules", self._sums):
            terminalreporter.write_line(line)
        if self._record:
            RECORD.write_text(write(self._sums), encoding="utf-8")


def _spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    print("\n".join(_table("processor seconds, as recorded", by_package(recorded()))))  # noqa: T201
