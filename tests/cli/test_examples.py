"""The examples in the help: one for each command, and each can be typed."""

import copy
import enum
import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterator

import click
import pytest

import appliance.cli
from appliance.cli.examples import LINES
from appliance.cli.main import cli
from appliance.cli.signing import PlaceOfKey
from tests.cli.test_main import PASSED_ON, commands


def parsed(command: click.Command, words: list[str]) -> dict[str, object]:
    """A file that the line names need not be there."""
    context = click.Context(command)
    found, rest, _ = command.make_parser(context).parse_args(list(words))
    assert not rest
    for parameter in command.params:
        if isinstance(parameter.type, click.Path | click.File | PlaceOfKey):
            parameter = copy.copy(parameter)
            parameter.type = click.STRING
        value = found.get(parameter.name or "")
        if isinstance(value, enum.Enum) or not value:  # click's mark of what is not there
            assert not parameter.required, parameter.name
        else:
            parameter.type_cast_value(context, value)
    return found


def test_every_command_has_an_example_that_parses() -> None:
    lines = LINES.read_text(encoding="utf-8").splitlines()
    missing = []
    for name, command in commands():
        begins = f"appliance {name} "
        own = [line for line in lines if f"{line} ".startswith(begins)]
        if len(own) != 1 or own[0] not in command.get_help(click.Context(command)):
            missing.append(f"appliance/cli/examples.txt: one line for `appliance {name}`")
        elif name not in PASSED_ON:
            typed, *_ = re.split(" [<>|] ", own[0])  # the rest is the shell's
            parsed(command, shlex.split(typed)[len(name.split()) + 1 :])
    assert (missing, len(lines)) == ([], len(list(commands())))


def test_an_example_with_an_unknown_or_missing_option_is_found() -> None:
    known = dict(commands())
    with pytest.raises(click.NoSuchOption):
        parsed(known["serve"], ["--prot", "80"])
    with pytest.raises(AssertionError, match="reason"):
        parsed(known["route suspend"], ["triage"])


def reachable(command: click.Command = cli) -> Iterator[click.Command]:
    """Groups, too."""
    yield command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from reachable(inner)


def test_every_command_module_can_be_typed() -> None:
    typed = set(reachable())
    found = {
        info.name: vars(importlib.import_module(f"appliance.cli.{info.name}")).get(info.name)
        for info in pkgutil.iter_modules(appliance.cli.__path__)
    }
    commands = {name: one for name, one in found.items() if isinstance(one, click.Command)}
    unlisted = [
        f"COMMANDS of cli/main.py lacks {n}" for n, one in commands.items() if one not in typed
    ]
    assert len(commands) > 25 and unlisted == []
