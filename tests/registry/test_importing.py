"""An artifact's way in: refused with a code and a record, or finished after a crash."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from appliance.app import Services, initialise, open_services
from appliance.errors import SignatureRefused, StateRefused
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes.directory import remove_tree
from tests.registry.test_lifecycle import ACTOR, edges, steps, tiny
from tests.smol import APPROVERS, SMALL, approve, key, quiet
from tests.trust import forge


@pytest.fixture
def data(tmp_path: Path) -> Path:
    initialise(tmp_path / "data", "lab")
    return tmp_path / "data"


@pytest.fixture
def services(data: Path) -> Iterator[Services]:
    with open_services(data, config=SMALL) as opened:
        yield opened


def test_a_refused_artifact_keeps_its_code_and_is_recorded(services: Services) -> None:
    path = tiny(services)
    (path / "tiny.gguf").write_bytes(forge.Gguf().build()[:-1])
    record = services.lifecycle.import_model(ACTOR, path, None, quiet)
    assert record.state == "refused" and record.code
    last = edges(services, "tiny")[-1]
    assert (last["state"], last["code"]) == ("refused", record.code)
    assert services.lifecycle.record("tiny").code == record.code


def test_what_cannot_be_stored_is_recorded_and_leaves_no_model(services: Services) -> None:
    path = tiny(services)
    (path / "link").symlink_to("/etc/passwd")
    with pytest.raises(SignatureRefused) as caught:
        services.lifecycle.import_model(ACTOR, path, None, quiet)
    assert caught.value.code == "file_symlink"
    assert steps(services, "tiny") == [("state", "media", "refused")]
    assert services.lifecycle.records() == []


@pytest.mark.parametrize("state", ["quarantined", "vetted"])
def test_an_interrupted_import_is_finished_when_the_data_directory_opens(
    data: Path, state: str
) -> None:
    with open_services(data, config=SMALL) as services:
        services.store.intake.quarantine(tiny(services), None, quiet)
        services.store.inventory.set_state("tiny", state)
        (data / "models" / "half.part").mkdir()
    with open_services(data, config=SMALL) as services:
        assert services.lifecycle.record("tiny").state == "verified"
        assert not (data / "models" / "half.part").exists()
        (gone,) = edges(services, "half")
        assert (gone["actor"], gone["state"]) == ("appliance", "refused")
        assert gone["code"] == "import_interrupted"
        assert [e["state"] for e in edges(services, "tiny")][-1] == "verified"
        assert services.lifecycle.recover() == []


def lost(services: Services) -> Path:
    """The artifact of an approved model whose files are gone, as after a restore without models."""
    path = tiny(services)
    services.lifecycle.import_model(ACTOR, path, None, quiet)
    approve(services, "tiny", *APPROVERS)
    remove_tree(services.data / "models" / "tiny")
    return path


def test_a_model_without_its_files_is_not_called_approved(services: Services) -> None:
    lost(services)
    shown = services.lifecycle.record("tiny")
    assert (shown.state, shown.code) == ("missing", "model_missing")
    assert "under the same id" in shown.hint
    assert services.store.inventory.record("tiny").state == "approved"  # what was decided, stays


async def test_the_same_artifact_under_the_same_id_repairs_it(services: Services) -> None:
    path = lost(services)
    with pytest.raises(StateRefused) as caught:
        await services.pool.load(ACTOR, "tiny")
    assert caught.value.code == "model_missing"
    before = services.store.inventory.record("tiny")
    record = services.lifecycle.import_model(ACTOR, path, None, quiet)
    assert (record.state, record.digest, record.round) == ("approved", before.digest, before.round)
    policy = load_policy(services.data / "trust")
    assert [a.name for a in services.store.approvals("tiny", policy)] == list(APPROVERS)
    services.store.seal("tiny", policy, quiet).close()  # it can be loaded again
    last = edges(services, "tiny")[-1]
    assert (last["event"], last["state"], last["actor"]) == ("repair", "approved", ACTOR)
    with pytest.raises(StateRefused) as taken:  # it is there now, so its id is in use
        services.lifecycle.import_model(ACTOR, path, None, quiet)
    assert taken.value.code == "model_id_taken"


def test_another_artifact_does_not_repair_it(services: Services) -> None:
    lost(services)
    before, kept = services.store.inventory.record("tiny"), approvals(services)
    other = tiny(services, "other", sign=False)
    (other / "NOTICE").write_text("another artifact")
    signing.sign_directory(other, key(services.data, "publisher"), quiet)
    with pytest.raises(StateRefused) as caught:
        services.lifecycle.import_model(ACTOR, other, "tiny", quiet)
    assert caught.value.code == "model_id_taken"
    assert before.digest is not None and before.digest in caught.value.message
    assert (services.store.inventory.record("tiny"), approvals(services)) == (before, kept)
    assert list((services.data / "models").iterdir()) == []
    assert edges(services, "tiny")[-1]["event"] == "repair_refused"


def test_files_that_are_not_those_that_were_signed_do_not_repair_it(services: Services) -> None:
    path = lost(services)
    before, kept = services.store.inventory.record("tiny"), approvals(services)
    model = path / "tiny.gguf"
    data = model.read_bytes()
    model.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(SignatureRefused) as caught:
        services.lifecycle.import_model(ACTOR, path, None, quiet)
    assert caught.value.code == "file_changed"
    assert (services.store.inventory.record("tiny"), approvals(services)) == (before, kept)
    assert list((services.data / "models").iterdir()) == []
    last = edges(services, "tiny")[-1]
    assert (last["event"], last["code"]) == ("repair_refused", "file_changed")
    model.write_bytes(data)
    assert services.lifecycle.import_model(ACTOR, path, None, quiet).state == "approved"


def test_a_new_signature_over_the_same_files_takes_new_approvals(services: Services) -> None:
    path = lost(services)
    signing.sign_directory(path, key(services.data, "publisher"), quiet)
    record = services.lifecycle.import_model(ACTOR, path, None, quiet)
    assert record.state == "verified"  # what was approved was the other signature
    approve(services, "tiny", *APPROVERS)
    assert services.lifecycle.record("tiny").state == "approved"


def approvals(services: Services) -> list[bytes]:
    with services.store._records._database.begin() as connection:
        return list(connection.execute(text("SELECT envelope FROM model_approvals")).scalars())
