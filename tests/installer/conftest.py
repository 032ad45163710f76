"""A host and a stick for one test."""

import pytest

from tests.installer.bench import Bench


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("b"))  # short: a socket's path has 107 bytes
