"""A verified log of forty entries, made once, copied for each test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import store
from tests.audit.logs import Intruder, copy, sample
from tests.audit.segmented import segmented


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only; `victim` is the copy to change."""
    return sample(tmp_path_factory.mktemp("audit") / "log")


@pytest.fixture
def victim(pristine: Path, tmp_path: Path) -> Path:
    return copy(pristine, tmp_path / "victim")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three segments. Read-only; `three` is the copy to change."""
    return segmented(tmp_path_factory.mktemp("segments") / "log")


@pytest.fixture
def three(whole: Path, tmp_path: Path) -> Path:
    return copy(whole, tmp_path / "three")


@pytest.fixture
def intruder(victim: Path) -> Intruder:
    return Intruder(victim)


@pytest.fixture
def database(victim: Path) -> Iterator[Any]:
    """A connection as the writer's, on a log with a row in every table."""
    engine = store.open_log(victim / "log.db")
    connection = engine.connect()
    dbapi = store.raw(connection)
    dbapi.execute("INSERT INTO node VALUES (8, 0, zeroblob(32))")
    dbapi.execute("INSERT INTO span VALUES (0, 1, 2)")
    yield dbapi
    connection.close()
    engine.dispose()
