"""Every code has an instruction, is used, and is in the guide; output never steers a terminal."""

import re
from pathlib import Path

import pytest

from installer.host import problems
from installer.host.problems import CODES, InstallError, keep, say
from tests.conftest import CHECKOUT

SOURCES = [*(CHECKOUT / "installer" / "host").glob("*.py"), CHECKOUT / "installer/host/install.sh"]


def test_every_code_is_raised_and_every_raised_code_is_known() -> None:
    text = "".join(path.read_text() for path in SOURCES if path.name != "problems.py")
    raised = set(re.findall(r'InstallError\(\s*"([a-z_]+)"', text))
    raised |= set(re.findall(r"\brefuse ([a-z_]+) ", text))
    assert raised <= set(CODES)
    assert {code for code in CODES if not re.search(rf"\b{code}\b", text)} == set()


def test_the_guide_has_every_code_with_its_instruction() -> None:
    guide = (CHECKOUT / "docs" / "install-guide.md").read_text()
    missing = [code for code, hint in CODES.items() if f"| `{code}` | {hint} |" not in guide]
    assert missing == []


def test_an_error_tells_what_to_do() -> None:
    error = InstallError("disk_full", "/opt: 3 MiB free.")
    assert error.lines() == ["disk_full: /opt: 3 MiB free.", f"  -> {CODES['disk_full']}"]


def test_what_is_said_is_kept_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "_LOGS", [])
    say("before")
    keep(tmp_path / "log")
    say("two\nlines\x1b")
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.partition("Z ")[2] for line in lines] == ["two", "lines\\x1b"]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to("log")
    for place in ("gone/log", "link"):  # no room, or somebody's link: said all the same
        keep(tmp_path / place)
        say("lost")
    assert "lost" not in (tmp_path / "log").read_text()


def test_nothing_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2Jb\u202ec\nd")
    assert capsys.readouterr().err == "a\\x1b[2Jb\\u202ec\nd\n"
