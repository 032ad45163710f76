"""Makes a data directory by the code of a commit, as an asset of the test of upgrades.

usage: python -m tests.system.old_data COMMIT

One for each release: `tests/assets/releases/COMMIT.tar.xz` holds `data/` and `made.json`.
"""

import asyncio
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.api.admin.lab import import_model

HERE: Final = Path(__file__).resolve()
CHECKOUT: Final = HERE.parents[2]
RELEASES: Final = HERE.parents[1] / "assets" / "releases"
BEFORE_TASKS: Final = "730884e"
NAME: Final = "orders-now"
SHELF: Final = "manuals"
_LEFT_OUT: Final = {"data/lock", "data/run/admin.sock", "data/audit/ballast"}


def archive(commit: str) -> Path:
    """Have the code of a commit make its data directory; the archive of it."""
    with tempfile.TemporaryDirectory() as place, code_of(commit) as tree:
        root = Path(place)
        run_old(tree, HERE, "make", commit, root).check_returncode()
        RELEASES.mkdir(exist_ok=True)
        target = RELEASES / f"{commit}.tar.xz"
        with tarfile.open(target, "w:xz") as made:
            for name in ("data", "made.json"):
                made.add(root / name, name, filter=_plain)
        return target


@contextlib.contextmanager
def code_of(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        packed = Path(place) / "tree.tar"
        git = ["git", "-C", str(CHECKOUT), "archive", "-o", str(packed), commit]
        subprocess.run(git, check=True)
        with tarfile.open(packed) as files:
            files.extractall(Path(place) / "tree", filter="tar")
        yield Path(place) / "tree"


def run_old(tree: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-P", *map(str, arguments)]
    return subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if member.name in _LEFT_OUT else member


# What follows runs with the code of the commit: `appliance` and `tests` are its own.


def _make(commit: str, root: Path) -> None:
    appliance = importlib.import_module("appliance")
    assert str(appliance.__file__).startswith(f"{Path.cwd()}/"), appliance.__file__
    made = _before_tasks(root) if commit == BEFORE_TASKS else _whole(root)
    made["time_us"] = importlib.import_module("appliance.clock").SystemClock().wall_us()
    (root / "made.json").write_text(json.dumps({"release": appliance.__version__, **made}))


def _keys(data: Path) -> dict[str, Any]:
    run = importlib.import_module("tests.cli.conftest").run_command
    made = {
        name: run("key", "create", name, "--json", data=data).document
        for name in ("app", "revoked", "limited")
    }
    run("key", "revoke", _id(made["revoked"]), data=data)
    run("key", "limit", _id(made["limited"]), "--rpm", "5", data=data)
    return {
        "secrets": {name: key["secret"] for name, key in made.items()},
        "ids": {name: _id(key) for name, key in made.items()},
    }


def _id(made: dict[str, Any]) -> str:
    return str(made["key"]["id"] if "key" in made else made["id"])


def _before_tasks(root: Path) -> dict[str, Any]:
    lab = importlib.import_module("tests.api.admin.lab")
    logs = importlib.import_module("tests.audit.logs")
    made = lab.make_lab(root)
    with lab.opened(made) as (services, client):
        for model in ("tiny", "suspended"):
            lab_id = made.approved(client, model)
            assert lab_id == model
        import_model(client, made.artifact("fresh"), "fresh", report=lab.Reports())
        requests = [f"req-{number:032x}" for number in range(3)]
        for request in requests:
            logs.ask(services.audit, request)
    run = importlib.import_module("tests.cli.conftest").run_command
    assert run("model", "suspend", "suspended", "--reason", "bad", data=made.data).status == 0
    return {**_keys(made.data), "requests": requests}


def _whole(root: Path) -> dict[str, Any]:
    world = importlib.import_module("tests.routing.world")
    open_services = importlib.import_module("appliance.app").open_services
    run = importlib.import_module("tests.cli.conftest").run_command
    data = world.certify(world.make_lab(root)).data
    keys = _keys(data)
    who = ("--as", "approver-1", "--key", data / "keys" / "lab" / "approver-1.pem")
    for task in (world.SMALL_ID, world.LARGE_ID):
        done = run("task", "promote", NAME, task, *who, "--reason", "read", data=data)
        assert done.status == 0, done.err

    form = importlib.import_module("appliance.routing.people").Form

    async def ask(services: Any) -> list[str]:
        principal = services.keys.authenticate(keys["secrets"]["app"])
        asked = []
        for text, model in ((world.SURE, world.ROUTE_ID), (world.DOUBTFUL, world.LARGE_ID)):
            caller = replace(world.app(), principal=principal)
            await world.answer(services, caller, text, model)
            asked.append(caller.request_id)
        settings = importlib.import_module("appliance.retrieval.collection").Settings()
        document = importlib.import_module("tests.retrieval.shelf").incoming(
            "manual", "The pump takes 12 litres of oil.", embedded=False
        )
        services.retrieval.library.create(SHELF, settings)
        services.retrieval.library.get(SHELF).collection.put(document, "uid:0", 1)
        caller = replace(world.app(), principal=principal)
        given = {"text": world.DOUBTFUL}
        waits = services.people.put(caller, world.ROUTE_ID, given, form(), hours=9_000, reason="")
        keys["waits"] = waits.id
        await services.inference.drain(30)
        return asked

    with open_services(data, config=world.SMALL) as services:
        requests = asyncio.run(ask(services))
    return {**keys, "requests": requests, "task": world.LARGE_ID, "text": world.DOUBTFUL}


def main() -> None:
    if sys.argv[1] == "make":
        _make(sys.argv[2], Path(sys.argv[3]))
    else:
        made = archive(sys.argv[1])
        print(f"{made.relative_to(CHECKOUT)}: {made.stat().st_size} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
