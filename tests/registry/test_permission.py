"""Models in memory are checked again, under the present policy and records."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.errors import PolicyRefused, Refused
from tests.smol import SMALL, make_data, sealed


@pytest.fixture(scope="module")
def smol_data(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Path:
    return make_data(tmp_path_factory.mktemp("permission"), narrow_path)


@pytest.fixture
def smol(smol_data: Path, tmp_path: Path) -> Iterator[Services]:
    shutil.copytree(smol_data, tmp_path / "copy")
    with open_services(tmp_path / "copy", config=SMALL) as opened:
        yield opened


def test_recheck_asks_the_policy_in_force(smol: Services) -> None:
    model = sealed(smol)
    smol.lifecycle.recheck(model)
    (smol.data / "trust" / "policy.json").write_text("{}")
    with pytest.raises(Refused):
        smol.lifecycle.recheck(model)
    model.close()


def test_a_restart_needs_the_approvals_too(smol: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sealed(smol)
    monkeypatch.setattr(smol.store, "approvals", lambda model_id, policy: [])
    with pytest.raises(PolicyRefused) as caught:
        smol.lifecycle.recheck(model)
    assert caught.value.code == "not_approved"
    model.close()
