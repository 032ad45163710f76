"""The commands: exit statuses, JSON, help."""

import json
import subprocess
import sys

import pytest

from installer.host import cli
from installer.host.problems import CODES, InstallError
from tests.conftest import CHECKOUT
from tests.installer.bench import Bench


def started(*arguments: str, home: str = "/nonexistent") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "installer.host", *arguments],
        cwd=CHECKOUT,
        env={"HOME": home},
        capture_output=True,
        text=True,
    )


def test_every_command_has_help_and_a_function() -> None:
    parser = cli.parser()
    assert parser.format_help()
    for line in ("status", "check", "recover", "rollback", "uninstall"):
        assert parser.parse_args([line]).command == line


def test_wrong_usage_exits_2() -> None:
    assert started("fly").returncode == 2
    assert started().returncode == 2


def test_a_refusal_exits_1_and_says_what_to_do(bench: Bench) -> None:
    bench.home.mkdir()
    done = started("check", "--user", "--json", home=str(bench.home))
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == "not_installed"
    assert "-> Install from a stick first." in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device", "/opt/x"), "step_failed"),
        (KeyboardInterrupt(), "interrupted"),
        (InstallError("disk_full", "/opt"), "disk_full"),
    ],
)
def test_whatever_stops_a_command_is_one_document(
    error: BaseException,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "run", stopped)
    monkeypatch.setattr("sys.argv", ["x", "status", "--json"])
    monkeypatch.setattr("os.chdir", lambda _: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["code"] == code
    assert f"  -> {CODES[code]}" in said.err


@pytest.mark.parametrize("command", ["rollback", "check"])
def test_nothing_installed(bench: Bench, command: str) -> None:
    bench.home.mkdir()
    assert started(command, "--user", home=str(bench.home)).returncode == 1


def test_nothing_to_recover(bench: Bench) -> None:
    bench.home.mkdir()
    done = started("recover", "--user", "--json", home=str(bench.home))
    assert json.loads(done.stdout) == {"ok": True, "undone": None}
