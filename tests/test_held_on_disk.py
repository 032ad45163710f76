"""`hold = "disk"`, the whole way: server and worker as a user that cannot write the files."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import open_services
from appliance.config import ModelConfig
from appliance.errors import Refused
from tests.answers import collect
from tests.conftest import unavailable
from tests.incidents.following import followed
from tests.registry.test_lifecycle import edges
from tests.smol import ID, SMALL, caller, make_data, request
from tests.trust import separated

pytestmark = pytest.mark.durable

ON_DISK = replace(SMALL, models={"default": ModelConfig(n_ctx=512, slots=2, hold="disk")})


@pytest.fixture
def data(tmp_path: Path, default_model_path: Path) -> Iterator[Path]:
    yield make_data(tmp_path, default_model_path)
    shutil.rmtree(tmp_path / "data")


async def served(data: Path, caplog: pytest.LogCaptureFixture) -> str:
    with open_services(data, config=ON_DISK) as services, followed(services, caplog) as seen:
        try:
            await services.pool.load("uid:1000", ID)
        except Refused as error:
            return error.code
        text, _ = await collect(await services.inference.start(caller(), request()))
        (status,) = services.supervisor.status()
        told = [str(e.get("held", "")) for e in edges(services, ID)][-2:]
        await asyncio.to_thread(seen.tells, "model_on_disk", "not in sealed memory")
        await services.pool.unload("uid:1000", ID)
        await asyncio.to_thread(seen.ends, "model_on_disk")
        await services.supervisor.close()
        return f"{text}|{status.held}|{told}"


def test_the_service_itself_may_not_own_the_file(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert asyncio.run(served(data, caplog)) == "store_not_separated"


@pytest.mark.executed  # a forked worker would be outside the user namespace
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_file_of_another_owner_is_served_and_said_to_be_held_on_disk(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() != 0:
        unavailable("a user namespace with two users needs root")
    directory = data / "models" / ID
    for path in (directory, *directory.iterdir()):
        os.chown(path, separated.OWNER, -1)
        path.chmod(0o555 if path.is_dir() else 0o444)
    told = separated.run(lambda: asyncio.run(served(data, caplog)))
    if told.startswith("unavailable"):
        unavailable(told)
    assert "Paris" in told
    assert told.endswith("|disk|['disk', 'disk']")
