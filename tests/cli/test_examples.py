"""The examples in the help: one for each command, and each can be typed."""

import copy
import enum
import shlex

import click
import pytest

from appliance.cli.examples import LINES
from tests.cli.test_main import PASSED_ON, commands


def parsed(command: click.Command, words: list[str]) -> dict[str, object]:
    """The parameters of a command line; a file that it names need not be there."""
    context = click.Context(command)
    found, rest, _ = command.make_parser(context).parse_args(list(words))
    assert not rest
    for parameter in command.params:
        if isinstance(parameter.type, click.Path | click.File):
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
            missing.append(name)
        elif name not in PASSED_ON:
            parsed(command, shlex.split(own[0])[len(name.split()) + 1 :])
    assert (missing, len(lines)) == ([], len(list(commands())))


def test_an_example_with_an_unknown_or_missing_option_is_found() -> None:
    known = dict(commands())
    with pytest.raises(click.NoSuchOption):
        parsed(known["serve"], ["--prot", "80"])
    with pytest.raises(AssertionError, match="reason"):
        parsed(known["route suspend"], ["triage"])
