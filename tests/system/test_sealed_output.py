"""Changes of the file after its verification do not reach the model's answers.

The control reads the same file by path, as others do: there the same change shows.
"""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.errors import Unavailable
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.answers import collect
from tests.engine.test_runner import play
from tests.smol import ID, SMALL, caller, make_data, request, until

HEADER = 8 << 20  # beyond the metadata: weights


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, shallow_path: Path) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("sealed")
    yield make_data(root, shallow_path)
    shutil.rmtree(root)


@pytest.fixture
async def served(data: Path, tmp_path: Path) -> AsyncIterator[Services]:
    shutil.copytree(data, tmp_path / "data")
    with open_services(tmp_path / "data", config=SMALL) as services:
        await services.pool.load("uid:0", ID)
        yield services
        await services.inference.drain(30)
        await services.supervisor.close()
    shutil.rmtree(tmp_path / "data")


def overwrite(path: Path) -> None:
    """Zeros over all weights, in place: the same inode, the same size."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(HEADER)
        file.write(bytes(path.stat().st_size - HEADER))
        os.fsync(file.fileno())


def truncate(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, HEADER)


def replace(path: Path) -> None:
    other = path.with_name("other.gguf")
    other.write_bytes(path.read_bytes()[:HEADER] + bytes(1 << 20))
    other.rename(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "overwritten": overwrite,
    "truncated": truncate,
    "replaced": replace,
    "unlinked": Path.unlink,
}


async def answer(services: Services) -> str:
    text, _ = await collect(await services.inference.start(caller(), request(max_tokens=8)))
    return text


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_the_answer_stays_the_same(
    served: Services, change: Callable[[Path], object]
) -> None:
    before = await answer(served)
    change(served.data / "models" / ID / "model.gguf")
    assert await answer(served) == before
    (status,) = served.supervisor.status()
    assert (status.state, status.restarts, status.held) == ("ready", 0, "memory")


async def test_a_worker_that_restarts_does_not_read_what_has_changed(served: Services) -> None:
    overwrite(served.data / "models" / ID / "model.gguf")
    (status,) = served.supervisor.status()
    assert status.pid is not None
    os.kill(status.pid, 9)
    await until(lambda: served.supervisor.status()[0].state == "suspended")
    with pytest.raises(Unavailable, match="suspended"):
        await answer(served)


def test_by_path_the_same_change_reaches_the_answer(
    default_model_path: Path, tmp_path: Path
) -> None:
    """The control: llama.cpp maps the file, and the file is somebody else's to change."""
    path = tmp_path / "model.gguf"
    shutil.copyfile(default_model_path, path)
    fd = os.open(path, os.O_RDONLY)
    config = RunnerConfig(n_ctx=256, slots=8, threads=1, n_batch=128, mapped=True)
    runner = ModelRunner(Library(best_variant(library_directory())), fd, config)
    prompt = {1: runner.tokenize("The capital of France is", add_special=True, parse_special=False)}
    before = play(runner, prompt).taken
    assert play(runner, prompt).taken == before
    overwrite(path)
    assert play(runner, prompt).taken != before
