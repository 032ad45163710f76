"""The output of commands."""

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli.output import Output, ProgressBar, size, state, table
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


def test_files_wait_for_the_release_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While a command has the lock of a data directory it waits for no disk of a person."""
    output, kept, page = Output(), tmp_path / "proof", tmp_path / "page.html"
    page.symlink_to(kept)
    output.keep()
    output.file(kept, b"\xff")
    output.page(page, "<p>ö</p>")
    assert not kept.exists() and capsys.readouterr().out == ""
    output.release()
    assert kept.read_bytes() == b"\xff" and page.read_text(encoding="utf-8") == "<p>ö</p>"
    assert not page.is_symlink() and capsys.readouterr().out == f"wrote {page}\n"
    output.file(kept, "later")
    assert kept.read_text() == "later"


def test_an_error_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error(Refused("wrong_state", "a\x1bb"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[0] == "wrong_state: a\\x1bb"
    assert captured.err.splitlines()[1].startswith("  ")


def test_elsewhere_progress_is_a_line_for_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as progress:
        for done in range(101):
            progress("hashing", done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"hashing {n} %" for n in range(0, 101, 10)]


@pytest.mark.parametrize("term", ["xterm", "linux"])
def test_on_a_terminal_progress_is_one_bar_for_each_phase(
    monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", term)
    with ProgressBar() as progress:
        for phase in ("hashing [bold]\x1b[2J", "sealing"):
            for done in (0, 1, 2):
                progress(phase, done, 2)
    shown = terminal.getvalue()
    assert "hashing [bold]\\x1b[2J" in shown  # no markup, no control
    assert "\x1b[2J" not in shown
    assert shown.count("50 %") and shown.count("100 %")
    assert shown.endswith("\n\x1b[?25h")  # the cursor is back, on a line of its own
    assert "\x1b[3" not in shown  # no colours
    last = shown.rsplit("\r", 1)[-1]
    assert "sealing" in last and "100 %" in last


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with ProgressBar() as progress:
        for done in range(101):
            progress("hashing", done, 100)
    assert terminal.getvalue() == "".join(f"hashing {n} %\n" for n in range(0, 101, 10))


def test_a_terminal_without_unicode_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ascii(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    raw = io.BytesIO()
    terminal = Ascii(raw, encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "vt100")
    with ProgressBar() as progress:
        progress("hashing", 1, 2)
    assert b"hashing" in raw.getvalue()  # what is not ASCII could not have been written


WIDE = [("1", "request_id=" + "x" * 60), ("22", "[red]short")]


def test_a_pipe_gets_whole_lines_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("COLUMNS", "30"), ("FORCE_COLOR", "1"), ("TTY_COMPATIBLE", "1")):
        monkeypatch.setenv(name, value)
    assert table(("N", "WHAT"), WIDE) == ["N   WHAT", f"1   {WIDE[0][1]}", "22  [red]short"]


def test_a_narrow_terminal_wraps_the_last_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = table(("N", "WHAT"), WIDE)
    assert all(len(line) <= 40 for line in lines)
    assert lines[0] == "N   WHAT" and lines[-1] == "22  [red]short"
    assert "".join(line.removeprefix("1").strip() for line in lines[1:-1]) == WIDE[0][1]
    assert all(line.startswith("    ") for line in lines[2:-1])
    monkeypatch.setenv("COLUMNS", "10")  # too narrow for that: nothing is cut off
    assert table(("N", "WHAT"), WIDE)[1] == f"1   {WIDE[0][1]}"


def test_a_phase_of_unknown_length_has_no_share(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressBar()("tokenising", 0, 0)
    assert capsys.readouterr().err == "tokenising\n"
