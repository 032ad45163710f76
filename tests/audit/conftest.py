"""A verified log of forty entries, made once, copied for each test."""

from pathlib import Path

import pytest

from tests.audit.logs import Intruder, copy, sample


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only; `victim` is the copy to change."""
    return sample(tmp_path_factory.mktemp("audit") / "log")


@pytest.fixture
def victim(pristine: Path, tmp_path: Path) -> Path:
    return copy(pristine, tmp_path / "victim")


@pytest.fixture
def intruder(victim: Path) -> Intruder:
    return Intruder(victim)
