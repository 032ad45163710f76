"""Writes docs/cli.md from the help of the commands.

Rules: nothing is said here that `--help` does not say; `tests/test_docs_cli.py` fails while the
file differs from what this makes. Run `.venv/bin/python docs/generate_cli.py` after changing
a command.
"""

import itertools
from collections import Counter
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
- `--no-wait`, likewise: Return before the job is done.

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
_WAIT = ("--wait / --no-wait", "Watch until it is done. [default: wait]")
_KEY = " A file, or pkcs11:token=…;object=…"
_COMMON = {
    _JSON: "",
    _DATA: "",
    _DIRECTORY: "[--directory DIR]",
    _PASSPHRASE: "[--passphrase-file FILE]",
    _WAIT: "[--no-wait]",
}
"""Options of many commands, explained once, and how a command's line shows them."""
_MANY = 10
"""A command refers to an earlier one of its group for options with so many words."""


def cli_document() -> str:
    """docs/cli.md: every command with its arguments and options."""
    found = {name: (command, _options(command)) for name, command in _commands(cli, "")}
    head = _HEAD.format(
        without_json=_without(found, _JSON),
        without_data=_without(found, _DATA, _DIRECTORY),
        passphrase=_PASSPHRASE[1],
    )
    return head + "".join(
        _section(name, command, options, _told_before(name, options, found))
        for name, (command, options) in found.items()
    )


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
    """The commands that have none of the options, by group; `*` is every command of one."""
    names = [n for n, (_, has) in found.items() if not {*has} & {*options}]
    size = Counter(map(_group, found))
    said = []
    for group, each in itertools.groupby(names, _group):
        whole = [*each]
        rest = [name.rpartition(" ")[2] for name in whole[1:]]
        every = group and len(whole) == size[group]
        said.append(f"`{group} *`" if every else f"`{', '.join([whole[0], *rest])}`")
    return "; ".join(said)


def _group(name: str) -> str:
    return name.rpartition(" ")[0]


def _commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for part in group.list_commands(context):
        command = group.get_command(context, part)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {part}".strip())
        elif command is not None and not command.hidden:
            yield f"{name} {part}".strip(), command


def _told_before(
    name: str, options: Options, found: Mapping[str, tuple[click.Command, Options]]
) -> tuple[str, Options]:
    """The earlier command of the group that shares most words of options, and the shared ones."""
    group = _group(name)
    before = itertools.takewhile(lambda other: other != name, found)
    same = {
        other: [o for o in options if o in found[other][1] and o not in _COMMON]
        for other in before
        if _group(other) == group
    }
    first = max(same, key=lambda other: _words(same[other]), default="")
    return (first, same[first]) if first and _words(same[first]) >= _MANY else ("", [])


def _words(options: Options) -> int:
    return sum(len(meaning.split()) for _, meaning in options)


def _section(
    name: str, command: click.Command, options: Options, before: tuple[str, Options]
) -> str:
    pieces = command.collect_usage_pieces(click.Context(command, info_name=name))
    pieces += [_COMMON[option] for option in options if option in _COMMON]
    usage = " ".join(piece for piece in pieces if piece and piece != "[OPTIONS]")
    lines = [
        "",
        f"## `{name}`" + (f" `{usage}`" if usage else ""),
        "",
        " ".join((command.help or "").split()),
    ]
    first, told = before
    rows = [_row(*option) for option in options if option not in _COMMON and option not in told]
    if told:
        rows.append(
            f"- As in `{first}`: {', '.join(_row(*o).partition(': ')[0][2:] for o in told)}."
        )
    return "\n".join([*lines, *([""] if rows else []), *rows]) + "\n"


def _row(option: str, meaning: str) -> str:
    must = "**" if meaning.endswith(" [required]") else ""
    return f"- {must}`{option}`{must}: {meaning.replace(_KEY, '').removesuffix(' [required]')}"


if __name__ == "__main__":
    TARGET.write_text(cli_document(), encoding="utf-8")
