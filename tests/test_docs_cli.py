"""docs/cli.md says what the commands say."""

import importlib.util
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
    document = maker()()
    for name, command in commands():
        section = document.split(f"## `appliance {name}`\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert any(f"{mark}{opt}" in section for opt in parameter.opts for mark in "`[")
