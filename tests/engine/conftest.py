"""The real model for the engine's tests: sealed once, loaded once per shape."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import llama_cpp as llama
import pytest

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.trust.bytes.sealed import SealedFile, seal_and_close
from appliance.workers.cpu_variants import best_variant, library_directory


@pytest.fixture(scope="session")
def variant() -> Path:
    return best_variant(library_directory())


@pytest.fixture(scope="session")
def sealed_model(shallow_path: Path) -> Iterator[SealedFile]:
    """The first layers of SmolLM2 in sealed memory, as the trust store hands it out."""
    sealed = seal_and_close(os.open(shallow_path, os.O_RDONLY), shallow_path.name)
    yield sealed
    sealed.close()


@pytest.fixture(scope="session")
def library(variant: Path) -> Library:
    return Library(variant)


@pytest.fixture(scope="module", autouse=True)
def freed() -> Iterator[None]:
    """Free a module's models at its end: the product leaves that to the end of the process."""
    begin, made = ModelRunner.__init__, list[ModelRunner]()

    def kept(self: ModelRunner, library: Library, fd: int, config: RunnerConfig) -> None:
        begin(self, library, fd, config)
        made.append(self)

    with mock.patch.object(ModelRunner, "__init__", kept):
        yield
    for runner in made:
        llama.llama_free(runner._context)
        llama.llama_model_free(runner._model)


def pytest_itemcollected(item: pytest.Item) -> None:
    """They load llama.cpp into their process."""
    item.add_marker(pytest.mark.xdist_group("llama.cpp"))
