"""Every code has an instruction, is used, and is in the guide; output never steers a terminal."""

import re

import pytest

from installer.host.problems import CODES, InstallError, say
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


def test_nothing_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2Jb\u202ec\nd")
    assert capsys.readouterr().err == "a\\x1b[2Jb\\u202ec\nd\n"
