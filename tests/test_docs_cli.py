"""docs/cli.md says what the commands say."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import click

from tests.cli.test_main import commands

DOCS = Path(__file__).parents[1] / "docs"


def maker() -> Callable[[], str]:
    """docs/generate_cli.py is a script and no package."""
    spec = importlib.util.spec_from_file_location("generate_cli", DOCS / "generate_cli.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[[], str] = module.cli_document
    return made


def test_the_document_is_current() -> None:
    current = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert current == maker()(), "run `.venv/bin/python docs/generate_cli.py`"


def test_every_command_and_option_is_in_it() -> None:
    head, *sections = maker()().split("\n## ")
    assert len(sections) == len([*commands()])
    for (name, command), section in zip(commands(), sections, strict=True):
        assert f"{section} ".startswith(f"`{name}`"), section
        options = [each for each in command.params if isinstance(each, click.Option)]
        for parameter in options:
            common = {"--json", "--directory"} & {*parameter.opts}
            said = head if common else section
            shown = parameter.opts + parameter.secondary_opts
            assert any(f"{mark}{opt}" in said for opt in shown for mark in "`["), name
        if "--json" not in {opt for each in options for opt in each.opts}:
            group, _, last = name.rpartition(" ")
            without = head.partition("Commands without it:")[2].partition("\n- ")[0]
            assert f"`{group} *`" in without or re.search(rf"\b{last}\b", without), name
