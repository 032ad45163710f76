"""A step reports while it runs, shows why it failed, and ends its program with itself."""

import os
import sys
from pathlib import Path

import pytest

from installer.bundle import steps
from installer.bundle.steps import BundleError, command_line, run_step


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.environ['A'])"]
    run_step(command, what="x", log=tmp_path / "log", env={"A": "b"})
    assert (tmp_path / "log").read_text() == "b\n"


def test_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('why'); sys.exit(3)"]
    with pytest.raises(BundleError, match="why\nsome step failed with exit status 3"):
        run_step(command, what="some step", log=tmp_path / "log")


def test_a_missing_program_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot start no-such-program"):
        run_step(["no-such-program"], what="x", log=tmp_path / "log")


def waiting(tmp_path: Path) -> tuple[list[str], Path]:
    """A program that prints progress like ninja, then waits for someone to open a FIFO."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = f"print('[1/9] a\\n[3/9] b', flush=True); open({str(fifo)!r}).read()"
    return [sys.executable, "-c", program], fifo


def test_progress_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, fifo = waiting(tmp_path)
    said = []

    def release(text: str) -> None:
        fifo.open("w").close()
        said.append(text)

    monkeypatch.setattr(steps, "say", release)
    run_step(command, what="some step", log=tmp_path / "log", heartbeat=1)
    assert said[0].startswith("  some step: 3 of 9 steps, 0 min")


def test_interrupted_it_ends_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, _ = waiting(tmp_path)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "say", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_step(command, what="x", log=tmp_path / "log", heartbeat=0.01)


def test_command_line_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise BundleError("the wheel is damaged")

    with pytest.raises(SystemExit) as ended:
        command_line(main)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: the wheel is damaged\n"
