"""An artifact's way in: refused with a code and a record, or finished after a crash."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import Services, initialise, open_services
from appliance.errors import SignatureRefused
from tests.registry.test_lifecycle import ACTOR, edges, steps, tiny
from tests.smol import SMALL, quiet
from tests.trust import forge


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A fresh lab without models."""
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
        services.store.quarantine(tiny(services), None, quiet)
        services.store.set_state("tiny", state)
        (data / "models" / "half.part").mkdir()
    with open_services(data, config=SMALL) as services:
        assert services.lifecycle.record("tiny").state == "verified"
        assert not (data / "models" / "half.part").exists()
        (gone,) = edges(services, "half")
        assert (gone["actor"], gone["state"]) == ("appliance", "refused")
        assert gone["code"] == "import_interrupted"
        assert [e["state"] for e in edges(services, "tiny")][-1] == "verified"
        assert services.lifecycle.recover() == []
