"""Abilities of the terminal.

Rules: a terminal known to lack colours, mouse or line drawing, or a person who asked for no colour,
gets the basic screens without asking; a terminal that knows its size is believed.
"""

import os
from collections.abc import Mapping, MutableMapping
from typing import Final

PALETTES: Final = ("dark", "light", "contrast", "mono")
"""Names of the colours that a person may choose."""


def is_basic(environment: Mapping[str, str], encoding: str | None) -> bool:
    """True if to use ASCII, the terminal's own colours and no mouse; by TERM, NO_COLOR
    (https://no-color.org) and the encoding of standard output.
    """
    term = environment.get("TERM", "")
    plain = term in ("", "dumb", "linux") or term.startswith("vt")
    utf8 = (encoding or "").lower().replace("-", "").replace("_", "") == "utf8"
    return plain or not utf8 or bool(environment.get("NO_COLOR"))


def believe_terminal(environment: MutableMapping[str, str], terminal: int) -> None:
    """Forget COLUMNS and LINES where the terminal (a descriptor) knows its size, which may change.

    `resize` and some shells export them. A serial line that knows no size keeps them.
    """
    try:
        known = all(os.get_terminal_size(terminal))
    except OSError:
        return
    if known:
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
