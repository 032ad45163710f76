"""A host and a stick for one test; with INSTALL_RESULTS its results go to the docs.

`INSTALL_RESULTS=all` writes the whole page; `=1` replaces the rows of the tests that ran.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import unavailable
from tests.installer import results
from tests.installer.bench import Bench
from tests.installer.loops import ROOT
from tests.installer.sticks import Sticks, obtain_sticks

Note = Callable[[str, float], None]
_outcomes: dict[str, dict[str, Any]] = {}
"""Of this session."""


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("b"))  # short: a socket's path has 107 bytes


@pytest.fixture(scope="session")
def _empty_host(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("f"))
    bench.bundle("1.0", 1)
    return _save(bench)


@pytest.fixture(scope="session")
def _upgradable_host(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("u"))
    bench.bundle("1.0", 1)
    done = bench.install()
    assert done.returncode == 0, done.stderr
    bench.bundle("2.0", 2, schema=2)
    return _save(bench)


@pytest.fixture
def fresh(_empty_host: Bench) -> Bench:
    """An empty host and a stick with 1.0."""
    return _restore(_empty_host)


@pytest.fixture
def upgrade(_upgradable_host: Bench) -> Bench:
    """Release 1.0 in service and a stick with 2.0."""
    return _restore(_upgradable_host)


def _saved(bench: Bench) -> Path:
    return bench.place.with_name(f"{bench.place.name}-saved")


def _save(bench: Bench) -> Bench:
    bench.home.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", bench.place, _saved(bench)], check=True)
    return bench


def _restore(bench: Bench) -> Bench:
    subprocess.run(["rm", "-rf", bench.place], check=True)
    subprocess.run(["cp", "-a", _saved(bench), bench.place], check=True)
    return bench


def unchanged(bench: Bench, before: dict[str, str]) -> None:
    """As before, but for new entries in the audit log: it is never rolled back."""
    log = ".local/share/appliance-data/audit/log"
    after = bench.footprint()
    after.pop(log, None)
    assert after == {name: value for name, value in before.items() if name != log}


@pytest.fixture(scope="session")
def sticks() -> Sticks:
    if not ROOT:
        unavailable("chroots and guests take root")
    return obtain_sticks()


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    def keep(name: str, value: float) -> None:
        record_property(name, round(value, 1))

    return keep


class _Recorder:
    """Hears of every test of the session: hooks of this file hear only of those below it."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            figures = dict(report.user_properties)
            outcome = {"outcome": report.outcome, "figures": figures}
            _outcomes[report.nodeid] = outcome
            wanted = os.environ.get("INSTALL_RESULTS")
            if wanted:  # at once: a session that is cut off keeps what it saw
                anew = wanted == "all" and len(_outcomes) == 1
                results.record({report.nodeid: outcome}, anew=anew)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Recorder())


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker("model")
