"""Only one module makes verified things."""

import ast
from pathlib import Path

import pytest

import appliance
from appliance.errors import SignatureRefused
from tests.trust.forge import Lab, quiet

SOURCE = Path(appliance.__file__).parent


def makers(name: str) -> set[str]:
    return {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    }


@pytest.mark.parametrize("name", ["Verified", "VerifiedModel", "VerifiedAdapter"])
def test_only_the_store_makes_one(name: str) -> None:
    assert makers(name) == {"trust/artifacts/store.py"}


def test_sealed_bytes_are_those_that_were_hashed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lab.store.seal(lab.approved(), lab.policy, quiet)
    model.rehash()
    monkeypatch.setattr(model.sealed, "sha256", "0" * 64)
    with pytest.raises(SignatureRefused) as caught:
        model.rehash()
    assert caught.value.code == "file_changed"
    model.close()
