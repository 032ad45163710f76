"""The health gate: everything but a good report is a failure."""

from pathlib import Path

import pytest

from installer.host import health
from installer.host.problems import InstallError
from tests.installer.host.test_product import product

FACTS = {"release": "1", "manifest_sha256": "ab", "key": "cd"}


def test_a_good_report(tmp_path: Path) -> None:
    good = """printf '{"ok": true, "policy": 3, "models": 1, "token": "x", "entry": 9}'"""
    found = health.check(product(tmp_path, good), **FACTS)
    assert found == {"policy": 3, "models": 1, "token": "x", "entry": 9}


@pytest.mark.parametrize("script", ["exit 1", "printf '{\"ok\": false}'", "printf '{}'", "kill $$"])
def test_anything_else_is_a_failure(tmp_path: Path, script: str) -> None:
    with pytest.raises(InstallError) as refused:
        health.check(product(tmp_path, script), **FACTS)
    assert refused.value.code == "health_failed"
