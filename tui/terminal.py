"""What the terminal can do.

Rules: a terminal that is known to lack colours, mouse or line drawing, or whose person asked for
no colour, gets the basic screens without asking.
"""

from collections.abc import Mapping


def is_basic(environment: Mapping[str, str], encoding: str | None) -> bool:
    """Whether to use ASCII, the terminal's own colours and no mouse.

    Args:
        environment: TERM and NO_COLOR (https://no-color.org) are looked at.
        encoding: of standard output.
    """
    term = environment.get("TERM", "")
    plain = term in ("", "dumb", "linux") or term.startswith("vt")
    utf8 = (encoding or "").lower().replace("-", "").replace("_", "") == "utf8"
    return plain or not utf8 or bool(environment.get("NO_COLOR"))
