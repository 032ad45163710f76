"""`appliance tui`: the command; the screens themselves: tests/tui."""

from pathlib import Path

import pytest

import tui.program
from tests.cli.conftest import run_command
from tests.guide_blocks import typed


def test_it_opens_the_screens_of_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[tuple[object, ...]] = []

    def run(
        data: Path, *, readonly: bool, basic: bool, media: tuple[Path, ...], palette: str
    ) -> None:
        opened.append((data, readonly, basic, media, palette))

    monkeypatch.setattr(tui.program, "run", run)
    assert run_command("tui", "--data", tmp_path).status == 0
    options = ("--readonly", "--basic", "--media", tmp_path, "--palette", "light")
    assert run_command("tui", "--data", tmp_path, *options).status == 0
    assert opened == [
        (tmp_path, False, False, (), "dark"), (tmp_path, True, True, (tmp_path,), "light"),
    ]  # fmt: skip


def test_it_takes_the_options_of_the_guide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[dict[str, object]] = []
    monkeypatch.setattr(tui.program, "run", lambda _data, **options: opened.append(options))
    lines = typed("operator-guide", "appliance tui --data")
    for words in (words for words in lines if words[0] == "tui"):
        assert run_command(*words, data=tmp_path).status == 0, words
    changed = [
        {name: value for name, value in options.items() if value not in (False, (), "dark")}
        for options in opened
    ]
    assert changed == [
        {}, {"readonly": True}, {"basic": True}, {"palette": "light"},
        {"media": (Path("/srv/incoming"),)},
    ]  # fmt: skip


def test_it_needs_to_know_the_data_directory() -> None:
    done = run_command("tui")
    assert (done.status, done.err.split(":")[0]) == (2, "data_missing")
