"""What the first screen says on a host that has no data directory yet."""

from typing import Final

from textual.content import Content

from tui.text import alarm, cell, labelled, quiet

STEPS: Final = (
    ("init", "make the data directory: settings, trust policy, audit log, lab keys"),
    ("model", "sign the demo model with the lab's key, import it, approve it twice"),
    ("serve", "start the server, which loads it"),
)


def welcome(data: str, width: int, *, readonly: bool) -> list[Content]:
    """What this is, and what one key does."""
    said = [
        cell("There is no appliance here yet.", "bold"),
        *labelled("directory", data, width),
        Content(""),
        cell("I sets one up to try it, in the LAB profile:"),
    ]
    for number, (name, what) in enumerate(STEPS, 1):
        said += labelled(f" {number} {name}", what, width)
    said += [
        Content(""),
        *cell("LAB means: publisher and approvers are keys on this machine, it listens on").wrap(
            width
        ),
        *cell("loopback only, and it never becomes production. The same by commands:").wrap(width),
        quiet("  appliance init --profile lab; appliance model demo; appliance serve --detach"),
        Content(""),
    ]
    if readonly:
        return [*said, alarm("Read-only was asked for: run the commands, or start without it.")]
    return [*said, cell("Press I to begin, q to leave everything as it is.", "bold")]
