"""The first screen, on a host without a data directory."""

from typing import Final

from textual.content import Content

from tui.text import QUIET, alarm, cell, labelled

STEPS: Final = (
    ("init", "make the data directory: settings, trust policy, audit log, lab keys"),
    ("model", "sign the demo model with the lab's key, import it, approve it twice"),
    ("serve", "start the server, which loads it"),
)
_LAB: Final = (
    "LAB means: publisher and approvers are keys on this machine, it listens on loopback only, and "
    "it never becomes production. The same by commands:"
)
_COMMANDS: Final = "appliance init --profile lab; appliance model demo; appliance serve --detach"


def welcome(data: str, width: int, *, readonly: bool) -> list[Content]:
    """Explain the product and the first key."""
    next_ = (
        alarm("Read-only was asked for: run the commands, or start without it.")
        if readonly
        else cell("Enter sets one up to try it; q leaves everything as it is.", "bold")
    )
    said = [
        cell("There is no appliance here yet."),
        *next_.wrap(width),
        Content(""),
        *labelled("directory", data, width),
        *labelled("profile", "LAB, to try it", width),
    ]
    for number, (name, what) in enumerate(STEPS, 1):
        said += labelled(f" {number} {name}", what, width)
    return [
        *said,
        Content(""),
        *cell(_LAB).wrap(width),
        *cell(_COMMANDS, QUIET).wrap(width),
    ]
