"""Commands of the product: a clean environment, JSON back, failures told."""

from pathlib import Path

import pytest

from installer.host.problems import InstallError
from installer.host.product import Product


def product(tmp_path: Path, script: str) -> Product:
    python = tmp_path / "usr" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return Product(tmp_path, tmp_path / "data", None)


def test_arguments_and_answer(tmp_path: Path) -> None:
    found = product(tmp_path, 'printf \'{"a": "%s"}\' "$*"').run("status")
    assert found["a"] == f"-I -m appliance status --data {tmp_path}/data --json"


def test_the_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGML_BACKEND_PATH", "/tmp/evil.so")
    monkeypatch.setenv("PYTHONPATH", "/tmp/evil")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/words")  # where a passphrase lies
    done = product(tmp_path, "env; pwd").try_run("status")
    assert "evil" not in done.stdout and "CREDENTIALS_DIRECTORY=/run/words" in done.stdout
    assert done.stdout.splitlines()[-1] == "/"


@pytest.mark.parametrize("script", ["echo no >&2; exit 1", "echo not json", "echo []", "sleep 9"])
def test_a_failure_is_told(tmp_path: Path, script: str) -> None:
    with pytest.raises(InstallError) as refused:
        product(tmp_path, script).run("status", timeout=1)
    assert refused.value.code == "step_failed"
