"""The command line as a whole: exit statuses, JSON on every error, help everywhere."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from appliance import __version__
from appliance.app import open_services
from appliance.cli.main import cli, exit_status
from appliance.errors import (
    ApplianceError,
    Refused,
    RequestRefused,
    ServerUnreachable,
    Unavailable,
    UsageError,
)
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command

CEREMONY = (
    "start",
    "key",
    "policy",
    "sign",
    "publish",
    "refresh",
    "clock",
    "rotate",
    "status",
    "record",
    "guide",
)
DATASET = ("new", "check", "split", "mask", "remove-item", "sign", "show")
STAND_ALONE = {
    *(f"dataset {verb}" for verb in DATASET),
    *("artifact sign", "artifact verify", "artifact places", "bundle build", "bundle verify"),
    "model convert",
    "bundle tuning",
    *("audit check-proof", "audit check-consistency", "auditor export-tools"),
    *("task check", "task sign", "eval verify", "route check", "route sign"),
    *(f"trust ceremony {step}" for step in CEREMONY),
    "drift rehearse",
    "task weights",
    "protect decrypt",
    "docs",
    *(f"signer {verb}" for verb in ("new", "encrypt", "show", "sign")),
}
WITHOUT_JSON = {"tui", "trust ceremony guide", "protect encrypt", "protect decrypt"}
PASSED_ON = {"bundle build", "bundle verify", "bundle tuning"}  # their options are the builder's


def commands(group: click.Group = cli, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield prefix + name, command


def option_names(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (UsageError, 2),
        (ServerUnreachable, 3),
        (Refused, 1),
        (RequestRefused, 1),
        (Unavailable, 1),
    ],
)
def test_each_kind_of_error_has_its_exit_status(kind: type[ApplianceError], status: int) -> None:
    assert exit_status(kind("internal_error", "x")) == status


def test_the_commands_are_those_that_are_promised() -> None:
    assert {name for name, _ in commands()} == {
        "init", "serve", "status", "usage", "doctor", "tui", "trust show", "tls issue", "tls renew",
        "docs", "advise", "state show", "state settle", "site status", "site key",
        "site join", "site export", "site import",
        *(f"incident {verb}" for verb in ("list", "show", "ack", "notice")),
        *(f"drift {verb}" for verb in ("check", "show", "report", "restart", "rehearse")),
        *(f"artifact {verb}" for verb in ("sign", "verify", "import", "approve", "list", "show")),
        *(f"artifact {verb}" for verb in ("suspend", "retire", "revoke", "recheck")),
        *(f"artifact {verb}" for verb in ("places", "plan")),
        *(f"model {verb}" for verb in ("load", "unload", "convert", "demo")),
        *(f"dataset {verb}" for verb in (*DATASET, "capture", "import", "list", "seal")),
        *(f"label {verb}" for verb in ("new", "list", "show", "next", "set", "finish", "remove")),
        *(f"task {verb}" for verb in (
            "check", "new", "sign", "import", "list", "fit", "promote", "rollback", "live",
        )),
        *(f"eval {verb}" for verb in ("run", "list", "show", "report", "compare", "errors")),
        *(f"eval {verb}" for verb in ("gate", "certificates", "export", "import", "key", "ledger")),
        *(f"eval {verb}" for verb in ("outcomes", "verify", "carry")),
        *(f"tune {verb}" for verb in ("plan", "run", "resume", "show", "offer", "teach")),
        *(f"tune {verb}" for verb in ("list", "compare", "report")), "bundle tuning",
        *(f"protect {verb}" for verb in ("on", "change", "off", "renew", "encrypt", "decrypt")),
        "quantize", *(f"signer {verb}" for verb in ("new", "encrypt", "show", "sign")),
        *(f"queue {verb}" for verb in ("list", "show", "answer", "labels")),
        *(f"upstream {verb}" for verb in ("list", "show", "learn", "approve", "probe", "drain")),
        "upstream reload",
        *(f"collection {verb}" for verb in ("new", "add", "access", "remove", "search")),
        *(f"collection {verb}" for verb in ("show", "list", "verify", "group", "tune")),
        *(f"route {verb}" for verb in ("check", "sign", "import", "calibrate", "list", "show")),
        *(f"route {verb}" for verb in ("what-if", "sample", "suspend", "report", "carry")),
            "route export", "task release", "task weights",
        *(f"key {verb}" for verb in ("new", "list", "show", "limit", "rotate", "revoke")),
        *(f"request {verb}" for verb in ("list", "cancel")),
        *(f"job {verb}" for verb in ("list", "show", "watch", "result")),
        *(f"job {verb}" for verb in ("pause", "resume", "cancel")),
        *(f"audit {verb}" for verb in ("verify", "tail", "show", "search")),
        *(f"audit {verb}" for verb in ("proof", "check-proof", "checkpoint", "witness")),
        *(f"audit {verb}" for verb in ("erase", "export", "consistency", "check-consistency")),
        *(f"trust ceremony {step}" for step in CEREMONY),
        *(f"audit {verb}" for verb in ("retention", "approve-prune", "prune", "receivers")),
        "audit replay",
        "trust update", "bundle build", "bundle verify", "logs", "metrics", "selftest",
        "auditor export-tools",
    }  # fmt: skip


def test_every_command_takes_data_and_json_and_explains_itself() -> None:
    every = dict(commands())
    for option, without in (("--data", STAND_ALONE), ("--json", WITHOUT_JSON | PASSED_ON)):
        found = {name for name, command in every.items() if option in option_names(command)}
        assert found == every.keys() - without, option
    assert [name for name, command in every.items() if not command.help] == []
    assert [
        (name, option.opts)
        for name, command in every.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ] == []


def test_an_error_is_one_document_with_json(run: Run) -> None:
    done = run("model", "show", "none", "--json")
    assert done.code == (1, "unknown_model_id")
    assert set(done.document) == {"code", "message", "hint"}
    assert done.document["hint"]
    assert done.err == ""


def test_an_error_is_told_on_stderr_without_json(run: Run) -> None:
    done = run("model", "show", "none")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("unknown_model_id: ")
    assert "appliance artifact list" in done.err


def test_wrong_usage(run: Run) -> None:
    assert run("model", "fly").status == 2
    assert run("model", "import").status == 2
    assert run("status", "--colour").status == 2


def test_no_data_directory_is_wrong_usage(tmp_path: Path) -> None:
    assert run_command("status", "--json").code == (2, "data_missing")
    assert run_command("status", "--json", data=tmp_path).code == (2, "data_missing")


def test_the_option_is_taken_after_the_command_and_wins(lab: LabData, tmp_path: Path) -> None:
    other = tmp_path / "other"
    done = run_command("status", "--data", lab.data, "--json", data=other)
    assert done.document["data"] == str(lab.data)


def test_a_file_that_cannot_be_used_is_a_refusal(lab: LabData, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "proof"
    assert run("audit", "proof", "0", "--out", out, "--json").code == (1, "file_unusable")


def test_the_lock_is_held_by_one(lab: LabData, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.cli.connect.PATIENCE_S", 0.1)
    with open_services(lab.data):
        assert run("key", "list", "--json").code == (1, "data_locked")
    assert run("key", "list", "--json").status == 0


def test_hostile_text_cannot_steer_the_terminal(lab: LabData, run: Run) -> None:
    done = run("model", "import", lab.data.parent / "\x1b]0;owned\x07", "--id", "\x1b[2J")
    assert done.status == 1
    assert "\x1b" not in done.out + done.err
    assert "\\x1b" in done.out


def test_a_command_loads_only_what_it_needs() -> None:
    program = (
        "import sys; from appliance.cli.main import cli; cli(['status', '--help'], False)\n"
        "assert 'appliance.cli.status' in sys.modules\n"
        "sys.exit(bool({'fastapi', 'sqlalchemy', 'textual', 'llama_cpp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program.replace("False", "standalone_mode=False")])
    assert done.returncode == 0


def test_the_help_loads_no_command() -> None:
    program = (
        "import sys; from appliance.cli.main import cli; cli(['--help'], standalone_mode=False)\n"
        "sys.exit('appliance.cli.model' in sys.modules or 'appliance.client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and "  model       Models: convert" in done.stdout


def test_python_dash_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "--version"], capture_output=True, check=True
    )
    assert done.stdout == f"appliance, version {__version__}\n".encode()


def first_sentence(text: str | None) -> str:
    """Up to the first full stop, on one line."""
    words = " ".join((text or "").split("\n\n")[0].split())
    return words.partition(". ")[0].rstrip(".")


def everything(group: click.Group = cli, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Groups, too."""
    yield prefix.rstrip(), group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from everything(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def test_first_sentences_are_for_a_stranger() -> None:
    """At most 45 characters: no list cuts one at 80 columns."""
    long: dict[str, str] = {}
    for name, command in everything():
        told = {name: command.help}
        told |= {
            f"{name} {option.opts[0]}": option.help
            for option in command.params
            if isinstance(option, click.Option) and not option.hidden
        }
        long |= {
            key: sentence for key, text in told.items()
            if len(sentence := first_sentence(text)) > 45 or not sentence
        }  # fmt: skip
    assert long == {}
    assert len(first_sentence("Hash every approved model again and ask the policy again.")) > 45


def test_no_list_of_commands_is_cut_at_80_columns() -> None:
    for name, group in everything():
        if isinstance(group, click.Group):
            shown = CliRunner().invoke(cli, [*name.split(), "--help"], terminal_width=80).stdout
            assert "..." not in shown.partition("Commands:")[2], shown
            assert max(map(len, shown.splitlines())) <= 80


def test_the_data_directory_has_one_option_in_every_command() -> None:
    """`--data` names a dataset in some commands; `--directory` is the same everywhere."""
    for name, command in commands():
        for parameter in command.params:
            if parameter.name == "data":
                assert "--directory" in parameter.opts, name
