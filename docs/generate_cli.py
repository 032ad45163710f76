"""Writes docs/cli.md from the help of the commands.

Rules: nothing is said here that `--help` does not say; `tests/test_docs_cli.py` fails while the
file differs from what this makes. Run `.venv/bin/python docs/generate_cli.py` after changing
a command.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import click

from appliance.cli.main import cli

Options: TypeAlias = list[tuple[str, str]]

TARGET = Path(__file__).parent / "cli.md"
_HEAD = """\
# The command line

<!-- Made by docs/generate_cli.py; change the source, not this file. -->

`appliance COMMAND`. Exit status: 0 done, 1 refused or a check failed, 2 wrong usage, 3 the server
cannot be reached. A state has a mark: `[+]` good, `[~]` under way, `[!]` needs a person, `[-]` at
rest. These options are not listed again:

- `--json`: stdout is one JSON document, also for an error (`code`, `message`, `hint`:
  [errors.md](errors.md)); progress goes to stderr. Commands without it: {without_json}.
- `--data DIR` or `--directory DIR`: the data directory, else APPLIANCE_DATA. Commands without it:
  {without_data}.
- `--passphrase-file FILE`, where the command's line shows it: {passphrase}

A bold option is required. A `KEY` that signs is a file, or pkcs11:token=…;object=….
"""
_JSON = ("--json", "Print one JSON document.")
_DATA = ("--directory, --data DIR", "Data directory, else APPLIANCE_DATA.")
_DIRECTORY = ("--directory DIR", "Data directory, else APPLIANCE_DATA.")
_PASSPHRASE = (
    "--passphrase-file FILE",
    "A line for each PIN or passphrase. One line is for all, and /dev/fd/N is a descriptor; by"
    " default a prompt asks.",
)
_KEY = " A file, or pkcs11:token=…;object=…"
_COMMON = {
    _JSON: "",
    _DATA: "",
    _DIRECTORY: "[--directory DIR]",
    _PASSPHRASE: "[--passphrase-file FILE]",
}
"""Options of many commands, explained once, and how a command's line shows them."""


def cli_document() -> str:
    """docs/cli.md: every command with its arguments and options."""
    found = {name: (command, _options(command)) for name, command in _commands(cli, "")}
    head = _HEAD.format(
        without_json=_without(found, _JSON),
        without_data=_without(found, _DATA, _DIRECTORY),
        passphrase=_PASSPHRASE[1],
    )
    return head + "".join(_section(name, *said) for name, said in found.items())


def _options(command: click.Command) -> Options:
    """Each option as `--help` shows it, with its meaning."""
    context = click.Context(command)
    shown = (
        each.get_help_record(context) for each in command.params if isinstance(each, click.Option)
    )
    return [
        (" ".join(option.replace(" RANGE", "").split()), " ".join(meaning.split()))
        for option, meaning in filter(None, shown)
    ]


def _without(found: Mapping[str, tuple[click.Command, Options]], *options: tuple[str, str]) -> str:
    """The commands that have none of the options, by group."""
    names = [n for n, (_, has) in found.items() if not {*has} & {*options}]
    groups = itertools.groupby(names, lambda name: name.rpartition(" ")[0])
    return "; ".join(
        f"`{', '.join([next(each), *(name.rpartition(' ')[2] for name in each)])}`"
        for _, each in groups
    )


def _commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for part in group.list_commands(context):
        command = group.get_command(context, part)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {part}".strip())
        elif command is not None and not command.hidden:
            yield f"{name} {part}".strip(), command


def _section(name: str, command: click.Command, options: Options) -> str:
    pieces = command.collect_usage_pieces(click.Context(command, info_name=name))
    pieces += [_COMMON[option] for option in options if option in _COMMON]
    usage = " ".join(piece for piece in pieces if piece and piece != "[OPTIONS]")
    lines = [
        "",
        f"## `{name}`" + (f" `{usage}`" if usage else ""),
        "",
        " ".join((command.help or "").split()),
    ]
    rows = [_row(*option) for option in options if option not in _COMMON]
    return "\n".join([*lines, *([""] if rows else []), *rows]) + "\n"


def _row(option: str, meaning: str) -> str:
    must = "**" if meaning.endswith(" [required]") else ""
    return f"- {must}`{option}`{must}: {meaning.replace(_KEY, '').removesuffix(' [required]')}"


if __name__ == "__main__":
    TARGET.write_text(cli_document(), encoding="utf-8")
