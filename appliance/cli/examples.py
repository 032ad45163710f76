"""An example of each command, at the end of its help.

Rules: `examples.txt` has one line for each command; a test parses every line.
"""

import functools
from pathlib import Path
from typing import Final

import click

LINES: Final = Path(__file__).with_name("examples.txt")


@functools.cache
def add_examples(command: click.Command, name: str) -> None:
    """Give a command, or each command of a group, its example as the epilog of its help."""
    if isinstance(command, click.Group):
        for part, inner in command.commands.items():
            add_examples(inner, f"{name} {part}")
        return
    for line in LINES.read_text(encoding="utf-8").splitlines():
        if f"{line} ".startswith(f"appliance {name} "):
            command.epilog = f"\b\nExample:\n  {line}"
