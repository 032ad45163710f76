"""The terminals that get the basic screens."""

import os
import pty
import struct
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

from tui.terminal import believe_terminal, is_basic


@pytest.mark.parametrize(
    ("environment", "encoding", "basic"),
    [
        ({"TERM": "xterm-256color"}, "utf-8", False),
        ({"TERM": "tmux"}, "UTF8", False),
        ({"TERM": "xterm", "NO_COLOR": ""}, "utf-8", False),  # empty does not count
        ({"TERM": "xterm", "NO_COLOR": "1"}, "utf-8", True),
        ({"TERM": "linux"}, "utf-8", True),
        ({"TERM": "vt220"}, "utf-8", True),
        ({"TERM": "xterm"}, "iso8859-1", True),
        ({"TERM": "xterm"}, None, True),
        ({}, "utf-8", True),
    ],
)
def test_a_terminal_that_lacks_something_is_basic(
    environment: dict[str, str], encoding: str | None, basic: bool
) -> None:
    assert is_basic(environment, encoding) is basic


@pytest.mark.parametrize(
    ("rows", "columns", "left"),
    [(20, 60, {"TERM": "xterm"}), (0, 0, {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"})],
)
def test_a_size_in_the_environment_counts_only_where_the_terminal_knows_none(
    rows: int, columns: int, left: dict[str, str]
) -> None:
    main, side = pty.openpty()
    try:
        ioctl(side, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
        believe_terminal(environment, side)
        assert environment == left
    finally:
        os.close(main)
        os.close(side)


def test_what_is_no_terminal_changes_nothing() -> None:
    with open(os.devnull) as file:  # noqa: PTH123 - a descriptor is wanted
        environment = {"COLUMNS": "80"}
        believe_terminal(environment, file.fileno())
        assert environment == {"COLUMNS": "80"}
