"""Fixtures of the trust tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trust import forge


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[forge.Lab]:
    made = forge.make_lab(tmp_path)
    yield made
    made.database.dispose()
