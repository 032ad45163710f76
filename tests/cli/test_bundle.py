"""`appliance bundle`: starts the build of the checkout, and nothing where there is none."""

from pathlib import Path

import pytest

from appliance.cli import bundle
from tests.cli.conftest import Run, run_command
from tests.installer.bench import Bench


def test_the_builds_own_options_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command("bundle", "build", "--help").status == 0
    assert "--lab-model" in capfd.readouterr().out
    assert run_command("bundle", "tuning", "--help").status == 0
    assert "--wheels" in capfd.readouterr().out


def test_a_bundle_is_verified(
    tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("b"))
    stick = bench.bundle()
    assert run_command("bundle", "verify", stick).status == 0
    assert bench.fingerprint() in capfd.readouterr().out
    (stick / "install.sh").write_text("#!/bin/sh\n")
    assert run_command("bundle", "verify", stick).status == 1
    assert "install.sh is not what was signed" in capfd.readouterr().err


def test_without_a_checkout_it_refuses(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bundle, "_ROOT", tmp_path)
    done = run_command("bundle", "verify", "/nowhere")
    assert done.status == 2
    assert "checkout_required" in done.err
