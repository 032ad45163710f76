"""A data directory is the one that was named, whatever characters its path has."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import click
import pytest

from appliance.app import initialise
from appliance.cli.main import cli
from tests.api.admin.lab import APPROVERS, LabData
from tests.audit.logs import Intruder
from tests.cli.conftest import run_command

ODD = {
    "data%41": "dataA",
    "data?mode=rwc": "data",
    "data#x": "data",
    "data%2Fx": "data",
    "file:data": "data",
    "data;a=1&b c\u00e9%": "data",
}
"""Names, and those of the directories that a careless reader opens in their place."""
WORST = "a%41?b=c&uri=false#d e\u00e9"


def contents(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(("name", "decoy"), ODD.items(), ids=map(ascii, ODD))
def test_a_log_that_was_changed_is_not_taken_for_another(
    tmp_path: Path, name: str, decoy: str
) -> None:
    initialise(tmp_path / name, "lab")
    initialise(tmp_path / decoy, "lab")
    for directory in (name, decoy):  # the control: both are as they should be
        assert run_command("audit", "verify", data=tmp_path / directory).status == 0
    good = contents(tmp_path / decoy)
    Intruder(tmp_path / name / "audit").sql("UPDATE leaf SET body = CAST(body || ' ' AS BLOB)")
    done = run_command("audit", "verify", "--json", data=tmp_path / name)
    assert done.status == 1
    assert "body_invalid" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({name, decoy})
    assert contents(tmp_path / decoy) == good


def anything(command: click.Command) -> tuple[str, ...]:
    """A value for each parameter that a command demands."""
    given: list[str] = []
    for param in command.params:
        if param.required:
            kind = param.type
            value = kind.choices[0] if isinstance(kind, click.Choice) else "1"
            given += [value] if isinstance(param, click.Argument) else [param.opts[0], value]
    return tuple(map(str, given))


def commands(
    command: click.Command, *path: str
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Those that work on a data directory, with their arguments."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, *path, name)
    elif any(param.name == "data" for param in command.params):
        yield path, anything(command)


def asked(lab: LabData, beside: Path) -> dict[tuple[str, ...], tuple[str | Path, ...]]:
    """Arguments beyond the directory, in the order in which the commands make sense."""
    key = ("--key", lab.key("approver-1"), "--meaning", "fit")
    genesis = lab.data / "audit" / "genesis.pub"
    return {
        ("init",): (),
        ("doctor",): (),
        ("artifact", "import"): (beside / "tiny",),
        ("artifact", "plan"): (beside / "tiny",),
        ("artifact", "approve"): ("tiny", "--as", APPROVERS[0], *key),
        ("artifact", "list"): (),
        ("artifact", "show"): ("tiny",),
        ("artifact", "recheck"): (),
        ("model", "load"): ("tiny",),
        ("model", "unload"): ("tiny",),
        ("artifact", "suspend"): ("tiny",),
        ("artifact", "retire"): ("tiny",),
        ("artifact", "revoke"): ("tiny", "--reason", "test"),
        ("model", "demo"): ("--from", beside / "none.gguf"),
        ("key", "create"): ("app",),
        ("key", "list"): (),
        ("key", "show"): ("none",),
        ("key", "limit"): ("none",),
        ("key", "rotate"): ("none",),
        ("key", "revoke"): ("none",),
        ("request", "list"): (),
        ("request", "cancel"): ("none",),
        ("tls", "issue"): ("host.example",),
        ("trust", "show"): (),
        ("trust", "update"): (beside / "tiny",),
        ("audit", "tail"): (),
        ("audit", "show"): ("0",),
        ("audit", "search"): ("--kind", "admin"),
        ("audit", "checkpoint"): (),
        ("audit", "retention"): (),
        ("audit", "erase"): ("--request", "none", "--reason", "test"),
        ("audit", "proof"): ("1", "--out", beside / "proof"),
        ("audit", "export"): ("--format", "tiles", "--out", beside / "tiles"),
        ("audit", "consistency"): (lab.data / "audit" / "HEAD", "--out", beside / "consistency"),
        ("audit", "witness"): (lab.data / "audit" / "HEAD", "--witness-key", genesis),
        ("audit", "approve-prune"): ("1024", "--as", APPROVERS[0], *key),
        ("audit", "prune"): ("1024", "--export", beside / "tiles", "--reason", "test"),
        ("audit", "verify"): (),
        ("logs",): (),
        ("metrics",): (),
        ("status",): (),
        ("selftest",): (),
        ("tui",): (),
        ("serve",): ("--host", "192.0.2.1"),
    }


REFUSED = {
    ("init",), ("tui",), ("serve",), ("metrics",), ("request", "list"), ("request", "cancel"),
    ("model", "load"), ("model", "unload"), ("artifact", "suspend"), ("model", "demo"),
    ("key", "show"), ("key", "limit"), ("key", "rotate"), ("key", "revoke"), ("audit", "erase"),
    ("trust", "update"), ("audit", "witness"), ("audit", "prune"), ("audit", "approve-prune"),
}  # fmt: skip
"""What ends with a refusal in any directory: for want of a server, a terminal, a key, a segment."""


def test_every_command_does_there_what_it_does_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, beside, here = tmp_path / WORST / "data", tmp_path / "beside", tmp_path / "here"
    for directory in (data.parent, beside, here):
        directory.mkdir()
    monkeypatch.chdir(here)  # "1" is the name of a file, too: `queue labels 1 --out 1`
    initialise(data, "lab")
    lab = LabData(data)
    made = asked(lab, beside)
    lab.artifact("tiny").rename(beside / "tiny")
    every = dict(commands(cli))
    assert set(made) <= set(every)
    done = {path: run_command(*path, *more, data=data) for path, more in made.items()}
    for path in sorted(set(every) - set(made)):
        assert run_command(*path, *every[path], data=data).status in (0, 1, 2, 3)
    refused = {path for path, how in done.items() if how.status}
    assert refused == REFUSED, {path: done[path].err for path in refused ^ REFUSED}
    assert {path.name for path in tmp_path.iterdir()} == {WORST, "beside", "here"}
    assert {path.name for path in here.iterdir()} == {"1"}
    assert {path.name for path in beside.iterdir()} == {"tiny", "tiles", "proof", "consistency"}


def test_a_server_runs_there(tmp_path: Path) -> None:
    data = tmp_path / WORST
    initialise(data, "lab")
    command = [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            assert any(re.search("listening on", line) for line in server.stderr)
            assert run_command("status", data=data).status == 0
            assert run_command("audit", "verify", data=data).status == 0
        finally:
            server.send_signal(signal.SIGTERM)
            server.stderr.read()
    assert [path.name for path in tmp_path.iterdir()] == [WORST]
