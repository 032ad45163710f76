"""What commands print."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli.output import Output, Progress, size, state, table
from appliance.errors import Refused

cells = st.text(st.characters(categories=["L", "N"]), max_size=8)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.lists(st.tuples(cells, cells, cells)))
def test_columns_begin_where_their_head_begins(rows: list[tuple[str, str, str]]) -> None:
    head, *lines = table(("A", "B", "C"), rows)
    for row, line in zip(rows, lines, strict=True):
        assert line[head.index("B") :].startswith(row[1])
        assert line[head.index("C") :] == row[2].rstrip()


def test_a_state_is_a_word_with_a_mark() -> None:
    assert state("serving") == "[+] serving"
    assert state("refused") == "[!] refused"
    assert state("retired") == "[-] retired"
    assert state("\x1b[2J") == "[-] \\x1b[2J"


def test_sizes() -> None:
    assert size(94 << 20) == "94 MiB"
    assert size(3 << 29) == "1.5 GiB"


def test_json_is_ascii_and_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.as_json = True
    output.data({"name": "\x9b\u202ex"}, ["for a person"])
    assert capsys.readouterr().out == '{\n  "name": "\\u009b\\u202ex"\n}\n'


def test_an_error_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error(Refused("wrong_state", "a\x1bb"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[0] == "wrong_state: a\\x1bb"
    assert captured.err.splitlines()[1].startswith("  ")


def test_elsewhere_progress_is_a_line_for_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        for done in range(101):
            progress("hashing", done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"hashing {n} %" for n in range(0, 101, 10)]


def test_on_a_terminal_progress_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress() as progress:
        progress("hashing", 0, 2)
        progress("hashing", 2, 2)
    shown = terminal.getvalue()
    assert shown.count("\r") == 2
    assert shown.count("\n") == 1 and shown.endswith("\n")


def test_nothing_to_do_is_all_done(capsys: pytest.CaptureFixture[str]) -> None:
    Progress()("verifying", 0, 0)
    assert capsys.readouterr().err == "verifying 100 %\n"
