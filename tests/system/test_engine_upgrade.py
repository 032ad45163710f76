"""An upgrade of the engine with two real builds: the server itself carries over equal answers, and
suspends the others before an app gets an answer.

The builds are the installed one and another of the same version in the user's cache, with other
kernels.
"""

import json
import os
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import open_services
from appliance.workers.engine_build import build_of
from installer.bundle.cache import cache_root, sha256_file
from tests.evals.orders import TASK
from tests.evals.sealed import add_dataset, add_task
from tests.smol import ID, make_data
from tests.system.conftest import CONFIG, Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]
LABELS, TEXT = "orders", "notes"
NOTES = (
    TASK.split("[output]")[0]
    .replace("version = 1", "version = 1\nmax_tokens = 24")
    .replace("Name the system that the work order is about.", "Say what has to be done, and why.")
    + '[output]\nform = "text"\n\n[gate]\nmetric = "normalised_match"\nmargin = 0.2\n'
)
"""Long answers are where two builds differ first. None is right, so it is compared with itself."""
TERMS = {LABELS: ("--incumbent", "none", "--floor", "0.001"), TEXT: ("--incumbent", TEXT)}


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def environment(root: Path) -> Path:
    """A copy of this environment with another build, without our kernels if the cache has one."""
    wheels = []
    for facts in (cache_root() / "llama-wheels").glob("*/facts.json"):
        told = json.loads(facts.read_text())
        wheel = facts.with_name(told["wheel"])
        if wheel.is_file() and sha256_file(wheel) == told["sha256"]:
            wheels.append(("kernels" in told, wheel))
    for _, wheel in sorted(wheels):
        target = root / f"env-{wheel.parent.name[:8]}"
        without = shutil.ignore_patterns("llama_cpp*", "__pycache__")
        shutil.copytree(sys.prefix, target, symlinks=True, ignore=without, copy_function=_linked)
        (site,) = target.glob("lib/python3*/site-packages")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        if build_of(site / "llama_cpp" / "lib") != build_of():
            return target / "bin" / "python"
        shutil.rmtree(target)
    pytest.skip("SKIPPED WITHOUT a second build of llama.cpp in the cache", allow_module_level=True)


@pytest.fixture
def server(tmp_path: Path, default_model_path: Path) -> Iterator[Server]:
    data = make_data(tmp_path, default_model_path, evaluated=True)
    with (data / "appliance.toml").open("a") as file:
        file.write(CONFIG)
    with open_services(data) as services:
        add_task(services, tmp_path / LABELS, model=ID)
        add_task(services, tmp_path / TEXT, NOTES, model=ID)
        for task in (LABELS, TEXT):
            add_dataset(services, tmp_path / f"{task}-data", dev=40)
        secrets = [services.keys.create(name)[1] for name in ("one", "two")]
    made = Server(data, (secrets[0], secrets[1]))
    try:
        yield made
    finally:
        if hasattr(made, "process"):
            made.process.kill()  # a test that failed leaves none behind


def certify(server: Server, task: str) -> None:
    lab = server.data / "keys" / "lab"
    found = server.command(
        *("eval", "gate", task, "--data", f"{task}-data", *TERMS[task]),
        *("--as", "publisher", "--key", str(lab / "publisher.pem")),
        data="--directory",
    )
    assert found["verdict"] == "pass", found
    for name in ("approver-1", "approver-2"):
        server.command(
            *("model", "approve", task, "--as", name, "--key", str(lab / f"{name}.pem")),
            *("--meaning", "certificate read"),
        )


def asked(server: Server, task: str) -> tuple[int, str]:
    body = {"model": task, "messages": [{"role": "user", "content": "the pump is noisy"}]}
    with server.client() as client:
        reply = client.post("/chat/completions", json=body)
    code = "" if reply.status_code == 200 else reply.json()["error"]["code"]
    return reply.status_code, code


def carried(server: Server) -> dict[str, dict[str, Any]]:
    for _ in range(600):
        jobs = [j for j in server.command("job", "list")["jobs"] if j["kind"] == "carry"]
        if len(jobs) == 2 and all(j["ended"] for j in jobs):
            return {j["title"]: server.command("job", "show", str(j["id"])) for j in jobs}
        time.sleep(1)
    raise AssertionError(server.command("job", "list"))


def test_one_task_is_carried_over_and_the_other_suspended(server: Server, tmp_path: Path) -> None:
    other = environment(tmp_path)
    server.start()
    for task in (LABELS, TEXT):
        certify(server, task)
        assert asked(server, task) == (200, "")
    assert server.end(signal.SIGTERM) == 0
    server.python = str(other)
    server.start(until="listening on")  # a replay may be what loads the model
    found = carried(server)
    labels, text = found[LABELS]["result"], found[TEXT]["result"]
    print(f"labels: {labels}\ntext: {text}")  # noqa: T201 - figures, with pytest -s
    assert labels["flips"] == [] and labels["certificate"]
    assert asked(server, LABELS) == (200, "")
    assert text["flips"] and text["certificate"] is None
    assert asked(server, TEXT)[0] in (403, 404, 409, 503)
    alarms = server.command("status")["alarms"]
    assert any(f"{TEXT} is suspended" in alarm for alarm in alarms)
    looks = server.command("eval", "ledger", f"{LABELS}-data")["splits"][0]["looks"]
    assert len(looks) == 1  # nothing sealed was opened again
    assert server.end(signal.SIGTERM) == 0
