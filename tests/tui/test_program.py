"""Opening the screens."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import tui.program
from tui.program import screens


def test_the_command_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        tui.program,
        "run",
        lambda data, *, readonly, basic, media, palette: seen.append(
            (data, readonly, basic, media, palette)
        ),
    )
    for arguments in (["--data", "/d"], ["--readonly", "--basic", "--media", "/m"]):
        done = CliRunner().invoke(screens, arguments, env={"APPLIANCE_DATA": "/e"})
        assert done.exit_code == 0, done.output
    assert seen == [
        (Path("/d"), False, False, (), "dark"), (Path("/e"), True, True, (Path("/m"),), "dark"),
    ]  # fmt: skip


def test_without_a_terminal_it_says_what_to_use() -> None:
    done = CliRunner().invoke(screens, ["--data", "/d"])
    assert done.exit_code == 2
    assert "appliance status" in done.stderr
