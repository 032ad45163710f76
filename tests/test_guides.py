"""The commands of the guides are commands: each one that a page shows is parsed as it is typed.

Blocks marked as tested are executed (tests/system/test_docs_snippets.py).
"""

import argparse
import ast
import re
import shlex
import ssl
from pathlib import Path

import click
import pytest

from appliance.cli.main import cli
from appliance.errors import CODES
from appliance.incidents.rules import RULES
from installer.bundle.default_model import default_model
from installer.host import answers
from installer.host.cli import parser
from tests.conftest import CHECKOUT
from tests.guide_blocks import typed as typed_in

PAGES = sorted(
    [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *(CHECKOUT / "docs").glob("*.md")]
)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`((?:appliance|appliance-installer|make) [^`]+)`")
PROGRAMS = ("appliance", "appliance-installer", "make")
SHELL = {"&&", "||", "|", ";", "do", "done", "then", "for", ">", ">>", "<", "2>&1"}
NO_COMMANDS = re.compile(r" v1(\||$)|^appliance COMMAND")
"""Spans that begin like a command: texts that keys sign, and the form of all commands."""
SHORT = re.compile(r"^[A-Z0-9_]+=|^sudo$")


def commands(text: str) -> list[list[str]]:
    """Those that start one of our programs, in words."""
    found: list[list[str]] = []
    for typed in re.sub(r"\\\n\s*", " ", text).splitlines():
        try:
            words = shlex.split(typed, comments=True)
        except ValueError:  # a text over several lines, as of a here-document
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if word in SHELL or word.endswith(";"):
                command += [word[:-1]] if word.endswith(";") and word[:-1] else []
                if command and command[0] in PROGRAMS:
                    found.append(command)
                command = []
            elif command or not SHORT.match(word):
                command.append(word)
    return found


def check(words: list[str], *, whole: bool) -> None:
    """Refuse what the program would refuse by its form alone; the arguments must be there where
    `whole`.
    """
    program, *rest = [word.strip("[]…") for word in words]
    rest = [word for word in rest if word]
    if program == "make":
        targets = re.findall(r"(?m)^([a-z0-9-]+):.*## ", (CHECKOUT / "Makefile").read_text())
        targets += ["wheel-cuda12", "wheel-cuda13"]
        for word in rest:
            assert "=" in word or word in targets, f"make has no target {word}"
        return
    if program == "appliance-installer":
        known = parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
        assert known is not None and rest[0] in known, f"no command {rest[0]}"
        options = known[rest[0]]._option_string_actions  # type: ignore[index]
        assert all(word in options for word in rest[1:] if word.startswith("--"))
        return
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        assert rest or not whole, f"{words}: which command?"
        if not rest:
            return
        name = rest.pop(0)
        if name.startswith("-"):
            return
        found = command.get_command(context, name)
        assert found is not None, f"{' '.join(words)}: no command {name}"
        command = found
    context = click.Context(command, ignore_unknown_options=False)
    if command.context_settings.get("ignore_unknown_options"):
        return  # passed on to the builder
    if not whole:
        for word in rest:
            known_options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            name = word.partition("=")[0].rstrip(",;")
            assert not name.startswith("--") or name in known_options, f"{words}: {name}"
        return
    given, left, _ = command.make_parser(context).parse_args(rest)
    assert not left, f"{' '.join(words)}: {left} is too much"
    for parameter in command.params:
        value = given.get(str(parameter.name))
        named = isinstance(value, str | tuple | list) and len(value) > 0
        assert named or not parameter.required, f"{' '.join(words)}: no {parameter.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_of_a_page_is_one(page: Path) -> None:
    text = page.read_text()
    for block in BLOCK.findall(text):
        for words in commands(block):
            try:
                check(words, whole=True)
            except click.UsageError as error:
                raise AssertionError(f"{page.name}: {' '.join(words)}: {error.message}") from error
    for span in SPAN.findall(text):
        for words in () if NO_COMMANDS.search(span) else commands(span.replace("\n", " ")):
            check(words, whole=False)


def test_each_command_of_a_hint_is_one() -> None:
    hints = [hint for _, hint in CODES.values()] + [rule.next for rule in RULES]
    spans = [span for hint in hints for span in SPAN.findall(hint)]
    assert len(spans) > 100
    for span in spans:
        for words in commands(span):
            check(words, whole=False)


def test_a_text_of_the_program_names_a_command_as_it_is_typed() -> None:
    context = click.Context(cli)
    groups = [(name, cli.get_command(context, name)) for name in cli.list_commands(context)]
    found = [
        f"{name} {sub}"
        for name, group in groups
        if isinstance(group, click.Group)
        for sub in group.list_commands(context)
    ]
    bare = re.compile(rf"`(?:{'|'.join(sorted(found, reverse=True))})\b[^`]*`")
    texts = {
        path: said(path) for top in ("appliance", "tui") for path in (CHECKOUT / top).rglob("*.py")
    }
    assert bare.search("Run `key list`.") and not bare.search("Run `appliance key list`.")
    assert [
        (path.name, bare.findall(text)) for path, text in texts.items() if bare.search(text)
    ] == []


def said(path: Path) -> str:
    """The texts of a module that a person may read: its strings without the docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = [n.value for n in ast.walk(tree) if isinstance(n, ast.Expr)]
    return "\n".join(
        n.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and n not in inside
    )


@pytest.mark.parametrize(
    "typed",
    [
        "appliance nothing", "appliance model lode m", "appliance key new a --rmp 3",
        "appliance audit proof 1 2 --out f", "appliance audit proof --out f",
        "make nothing", "appliance-installer remove",
    ],
)  # fmt: skip
def test_a_command_that_is_none_is_noticed(typed: str) -> None:
    (words,) = commands(f"echo x && {typed}  # a comment\n")
    with pytest.raises((AssertionError, click.UsageError)):
        check(words, whole=True)


def vllm() -> argparse.ArgumentParser:
    """Of vLLM 0.32.0, as far as the guide uses it; `vllm/entrypoints/launchers/cli_args.py` and
    `vllm/engine/arg_utils.py` declare it.
    """
    found = argparse.ArgumentParser("vllm.entrypoints.openai.api_server", exit_on_error=False)
    for name in ("host", "ssl-keyfile", "ssl-certfile", "ssl-ca-certs", "model"):
        found.add_argument(f"--{name}")
    found.add_argument("--served-model-name", nargs="+")
    found.add_argument("--port", type=int)
    found.add_argument("--ssl-cert-reqs", type=int)
    return found


def test_the_engine_host_of_the_guide_asks_for_a_client_certificate() -> None:
    ((module, name, *options),) = typed_in("scaling-guide", "python -m vllm")
    assert (module, name) == ("-m", vllm().prog)
    given = vllm().parse_args(options)
    assert given.ssl_cert_reqs == ssl.CERT_REQUIRED and given.ssl_ca_certs
    with pytest.raises(argparse.ArgumentError):
        vllm().parse_args([*options, "--ssl-cert-reqs"])


def test_the_answer_file_of_the_guide_is_read_and_names_the_model_of_the_bundle() -> None:
    text = (CHECKOUT / "docs" / "install-guide.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    given = answers.parse(block.encode())
    assert given["models"] == (default_model().id,)


def test_the_administrators_guide_leads_to_the_installer() -> None:
    text = (CHECKOUT / "docs" / "admin-guide.md").read_text()
    assert "install-guide.md" in text
    assert not re.search(r"\b(no|not an) installer\b", text)
