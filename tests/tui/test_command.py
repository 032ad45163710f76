"""Commands that the screens run: real ones, and programs that misbehave."""

import sys
import threading
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, Refused, Unavailable
from tests.api.admin.lab import make_lab
from tui.command import Commands

pytestmark = pytest.mark.long


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


def error_of(commands: Commands, *arguments: str) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        commands.run(*arguments)
    return caught.value


def test_progress_is_told_as_it_comes(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    text = "import sys; print('hashing 40 %', file=sys.stderr); print('{}')"
    assert Commands(tmp_path, program(text)).run("x", report=lambda *s: told.append(s)) == {}
    assert told == [("hashing", 40, 100)]


def test_a_real_command_answers(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    commands = Commands(lab.data)
    assert commands.run("model", "import", str(lab.artifact()))["state"] == "verified"
    error = error_of(commands, "model", "show", "none")
    assert isinstance(error, Refused) and error.code == "unknown_model_id" and error.hint


def test_a_refusal_may_be_the_answer(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    artifact = lab.artifact()
    (artifact / "LICENSE").write_text("changed")
    found = Commands(lab.data).run("model", "plan", str(artifact), refused_is_data=True)
    assert (found["ok"], found["code"]) == (False, "file_changed")


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("import sys; sys.exit('it broke')", "incompatible_server", "it broke"),
        ("print('no json')", "incompatible_server", "no json"),
        ('print(\'{"code": "nobody knows"}\'); exit(1)', "incompatible_server", "ended with 1"),
        ("print('[]'); exit(1)", "incompatible_server", "ended with 1"),
    ],
)
def test_a_command_that_misbehaves_is_an_error(
    tmp_path: Path, text: str, code: str, words: str
) -> None:
    error = error_of(Commands(tmp_path, program(text)), "x")
    assert error.code == code and words in error.message


def test_what_runs_ends_with_the_program(tmp_path: Path) -> None:
    commands = Commands(
        tmp_path,
        program("import sys, time; print('up 1 %', file=sys.stderr, flush=True); time.sleep(600)"),
    )
    began, ended = threading.Event(), threading.Event()

    def run() -> None:
        try:
            commands.run("x", report=lambda *_: began.set())
        except ApplianceError:
            ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert began.wait(30)
    commands.close()
    assert ended.wait(30)
    with pytest.raises(Unavailable, match="ends"):
        commands.run("x")


def test_a_lot_of_output_blocks_nothing(tmp_path: Path) -> None:
    text = "import sys; sys.stderr.write('x\\n' * 200_000); print('[' + '1,' * 200_000 + '1]')"
    assert len(Commands(tmp_path, program(text)).run("x")) == 200_001
