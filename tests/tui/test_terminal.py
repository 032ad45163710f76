"""Which terminals get the basic screens."""

import pytest

from tui.terminal import is_basic


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
