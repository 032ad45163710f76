"""The periodic re-check: findings, their effects, each recorded once."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.errors import StateRefused
from appliance.trust.artifacts import signing
from appliance.trust.bytes.directory import remove_tree
from tests.registry.test_lifecycle import ACTOR, edges, revoke_publisher, tiny
from tests.smol import APPROVERS, ID, SMALL, approve, key, make_data, quiet


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as opened:
        opened.lifecycle.import_model(ACTOR, tiny(opened), None, quiet)
        approve(opened, "tiny", *APPROVERS)
        yield opened


@pytest.fixture(scope="module")
def smol_data(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("sweep")
    yield make_data(root, narrow_path)
    shutil.rmtree(root)


@pytest.fixture
async def smol(smol_data: Path, tmp_path: Path) -> Any:
    shutil.copytree(smol_data, tmp_path / "copy")
    with open_services(tmp_path / "copy", config=SMALL) as opened:
        await opened.pool.load(ACTOR, ID)
        yield opened
        await opened.supervisor.close()
    shutil.rmtree(tmp_path / "copy")


def flip(path: Path) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    path.chmod(mode)


async def test_a_store_that_is_as_it_was(services: Services) -> None:
    before = len(edges(services, "tiny"))
    assert await services.sweep.run() == []
    assert len(edges(services, "tiny")) == before


async def test_a_changed_file_suspends_a_model_that_is_not_served(services: Services) -> None:
    flip(services.data / "models" / "tiny" / "tiny.gguf")
    (record,) = await services.sweep.run()
    assert (record.state, record.code) == ("suspended", "file_changed")
    last = edges(services, "tiny")[-1]
    assert (last["actor"], last["code"]) == ("appliance", "file_changed")
    assert await services.sweep.run() == []  # it was told once
    with pytest.raises(StateRefused, match="suspended"):
        await services.pool.load(ACTOR, "tiny")


async def test_another_artifact_in_its_place(services: Services) -> None:
    other = tiny(services, "other")
    stored = services.data / "models" / "tiny"
    shutil.rmtree(stored)
    (other / "LICENSE").write_text("MIT")
    signing.sign_directory(other, key(services.data, "publisher"), quiet)
    shutil.copytree(other, stored)
    (record,) = await services.sweep.run()
    assert (record.state, record.code) == ("suspended", "artifact_changed")


async def test_a_revoked_key_ends_the_model(services: Services) -> None:
    revoke_publisher(services)
    (record,) = await services.sweep.run()
    assert (record.state, record.code) == ("revoked", "key_revoked")


async def test_a_served_model_goes_on_from_sealed_memory_and_shows_the_finding(
    smol: Services,
) -> None:
    flip(smol.data / "models" / ID / "model.gguf")
    (record,) = await smol.sweep.run()
    assert (record.state, record.code) == ("serving", "file_changed")
    assert smol.supervisor.status()[0].state == "ready"
    told = [e for e in edges(smol, ID) if e["event"] == "recheck_failed"]
    assert len(told) == 1 and told[0]["code"] == "file_changed"
    await smol.sweep.run()
    assert len([e for e in edges(smol, ID) if e["event"] == "recheck_failed"]) == 1
    flip(smol.data / "models" / ID / "model.gguf")  # it is as it was
    assert await smol.sweep.ask() == []
    assert smol.lifecycle.record(ID).code == "file_changed"  # nothing was read
    for _ in range(2):
        assert await smol.sweep.run() == []
        assert (smol.lifecycle.record(ID).state, smol.lifecycle.record(ID).code) == (
            "serving",
            None,
        )
    assert len([e for e in edges(smol, ID) if e["event"] == "recheck_passed"]) == 1
    flip(smol.data / "models" / ID / "model.gguf")
    await smol.pool.unload(ACTOR, ID)
    (record,) = await smol.sweep.run()
    assert record.state == "suspended"


async def test_a_revoked_key_ends_a_served_model(smol: Services) -> None:
    revoke_publisher(smol)
    (record,) = await smol.sweep.run()
    assert (record.state, record.code) == ("revoked", "key_revoked")
    assert smol.pool.model(ID).unloaded == f"revoked: {record.message}"
    assert not smol.lifecycle.is_loaded(ID)


async def test_missing_files_are_noted_once_and_void_no_approval(services: Services) -> None:
    remove_tree(services.data / "models" / "tiny")
    for _ in range(2):
        (found,) = await services.sweep.run()
        assert (found.state, found.code) == ("missing", "model_missing")
    stored = services.store.inventory.record("tiny")
    assert (stored.state, stored.round) == ("approved", 0)
    noted = [e for e in edges(services, "tiny") if e["event"] == "recheck_failed"]
    assert [e["code"] for e in noted] == ["model_missing"]
    again = services.lifecycle.import_model(ACTOR, services.data.parent / "tiny", None, quiet)
    assert (again.state, again.code) == ("approved", None)
    assert await services.sweep.run() == []
