"""A server that is killed in the middle of an evaluation: it resumes, with the same result."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.evals.job import DIRECTORY
from appliance.host import at_rest
from tests.api.admin.lab import APPROVERS, LabData, make_lab
from tests.cli.conftest import Done, run_command
from tests.evals.orders import write_data, write_task

FAR = 900  # seconds
CONFIG = "\n[engine]\nthreads = 1\n[models.default]\nreproducible = true\nn_ctx = 512\nslots = 2\n"


@pytest.fixture
def lab(tmp_path: Path, default_model_path: Path) -> LabData:
    made = make_lab(tmp_path)
    with (made.data / "appliance.toml").open("a", encoding="utf-8") as file:
        file.write(CONFIG)
    artifact = tmp_path / "smol"
    artifact.mkdir()
    shutil.copyfile(default_model_path, artifact / "model.gguf")
    for command in (
        ("model", "sign", artifact, "--key", made.key("publisher")),
        ("model", "import", artifact),
        *(
            ("model", "approve", "smol", "--as", name, "--key", made.key(name), "--meaning", "fit")
            for name in APPROVERS
        ),
    ):
        done(made, *command)
    return made


def done(lab: LabData, *arguments: str | Path) -> Done:
    told = run_command(*arguments, data=lab.data)
    assert told.status == 0, told.err
    return told


@contextlib.contextmanager
def serving(lab: LabData) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data", str(lab.data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert any(re.search(r"listening on", line) for line in process.stderr)
            reader = threading.Thread(target=list, args=[process.stderr])
            reader.start()  # else a pipe full of log lines would stop the server
            yield process
        finally:
            process.terminate()
            process.wait(180)


def lines(lab: LabData, number: int) -> list[dict[str, Any]]:
    path = lab.data / DIRECTORY / str(number) / "000.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in at_rest.read_lines(path)]


def begin(lab: LabData, task: Path, data: Path) -> int:
    told = done(lab, "eval", "run", task, "--data", data, "--no-baselines", "--no-wait", "--json")
    return int(told.document["id"])


def told(lab: LabData, number: int) -> list[tuple[str, str, int]]:
    return sorted((o["item"], o["answer"], o["micros"]) for o in lines(lab, number))


@pytest.mark.slow
@pytest.mark.timeout(FAR)
def test_a_killed_server_resumes_with_the_same_result(lab: LabData, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    data = write_data(tmp_path / "orders", train=4, dev=120)
    with serving(lab) as process:
        first = begin(lab, task, data)
        end = time.monotonic() + FAR / 3
        while not lines(lab, first):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.kill()
        process.wait(60)
    kept = told(lab, first)
    assert 0 < len(kept) < 120
    with serving(lab):
        resumed = done(lab, "job", "watch", str(first), "--json").document["result"]
        second = begin(lab, task, data)
        whole = done(lab, "job", "watch", str(second), "--json").document["result"]
    assert set(kept) <= set(told(lab, first)) and len(told(lab, first)) == 120
    assert told(lab, first) == told(lab, second)
    assert resumed["candidates"][0]["quality"] == whole["candidates"][0]["quality"]
    assert resumed["candidates"][0]["interval"] == whole["candidates"][0]["interval"]
