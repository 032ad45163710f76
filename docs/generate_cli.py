"""Writes docs/cli.md from the help of the commands.

Rules: nothing is said here that `--help` does not say; `tests/test_docs_cli.py` fails while the
file differs from what this makes. Run `.venv/bin/python docs/generate_cli.py` after changing
a command.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from appliance.cli.main import cli

TARGET = Path(__file__).parent / "cli.md"
_HEAD = """\
# The command line

<!-- Made by docs/generate_cli.py; change the source, not this file. -->

`appliance COMMAND`. Exit status: 0 done, 1 refused or a check failed, 2 wrong usage, 3 the server
cannot be reached. With `--json` stdout is one JSON document, also for an error (`code`, `message`,
`hint`: [errors.md](errors.md)); progress and narration go to stderr. A state has a mark: `[+]`
good, `[~]` under way, `[!]` needs a person, `[-]` at rest.
"""


def cli_document() -> str:
    """docs/cli.md: every command with its arguments and options."""
    return _HEAD + "".join(_section(*found) for found in _commands(cli, "appliance"))


def _commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for part in group.list_commands(context):
        command = group.get_command(context, part)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {part}")
        elif command is not None and not command.hidden:
            yield f"{name} {part}", command


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join(
        piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"
    )
    lines = ["", f"## `{name}`", "", " ".join((command.help or "").split()), ""]
    lines += ["```", f"{name} {usage}".rstrip() + " [OPTIONS]", "```", ""]
    lines += ["| option | what it does |", "|---|---|"]
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            option, meaning = (" ".join(text.split()).replace("|", "\\|") for text in record)
            lines.append(f"| `{option}` | {meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(cli_document(), encoding="utf-8")
