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
good, `[~]` under way, `[!]` needs a person, `[-]` at rest. `--data DIR`, or `--directory DIR`,
names the data directory; by default APPLIANCE_DATA does.
"""
_COMMON = {
    ("--directory, --data DIR", "Data directory, else APPLIANCE_DATA."): "[--data DIR]",
    ("--json", "Print one JSON document."): "[--json]",
}
"""Options that most commands have, and how the usage shows them."""


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
    pieces = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    options: list[str] = []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if not isinstance(parameter, click.Option) or record is None:
            continue
        option, meaning = (" ".join(text.split()) for text in record)
        if (option, meaning) in _COMMON:
            pieces.append(_COMMON[option, meaning])
        else:
            options.append(f"- `{option}`: {meaning}")
    usage = " ".join([name, *pieces, *(["[OPTIONS]"] if options else [])])
    lines = [
        "",
        f"## `{name}`",
        "",
        " ".join((command.help or "").split()),
        "",
        "```",
        usage,
        "```",
    ]
    return "\n".join([*lines, *([""] if options else []), *options]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(cli_document(), encoding="utf-8")
