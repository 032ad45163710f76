"""A gate of a classifier ends while a real plan, and then a real training, runs.

The server is a process of its own, with the threads and the priorities of a site.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import open_services
from appliance.cli.connect import admin_client
from appliance.wire.admin.jobs import JOB_START, JobStart
from examples.demo import serving
from tests.cli.conftest import run_command
from tests.evals.orders import FITTED, TASK, write_task
from tests.evals.sealed import add_dataset
from tests.ports import free_port
from tests.smol import make_data
from tests.tasks.example import coefficients
from tests.tuning.runs import SETTINGS

pytestmark = [pytest.mark.tune, pytest.mark.slow, pytest.mark.timeout(900)]


class BesideSite:
    def __init__(self, root: Path, gguf: Path) -> None:
        self.data = make_data(root, gguf, evaluated=True)
        with open_services(self.data) as services:
            self.orders = add_dataset(services, root / "orders", dev=24)
        weights = coefficients("electrical")
        self.by_model = write_task(root / "by-model", TASK)
        self.by_classifier = write_task(root / "by-classifier", FITTED, classifier_json=weights)

    def run(self, *arguments: str | Path) -> dict[str, Any]:
        done = run_command(*arguments, "--json", data=self.data)
        assert done.out, done.err
        return done.document

    def bring(self, task: Path) -> str:
        self.run("task", "sign", task, "--key", self.key)
        assert self.run("task", "import", task, "--id", task.name)["state"] == "verified"
        return task.name

    @property
    def key(self) -> Path:
        return self.data / "keys" / "lab" / "publisher.pem"

    def gate(self, task: str, *options: str) -> dict[str, Any]:
        signer = ("--as", "publisher", "--key", self.key)
        return self.run("eval", "gate", task, "--data", self.orders, *signer, *options)

    def tune(self, *, plan: bool) -> int:
        """Begin a tuning that outlasts a gate by far; the number of its job."""
        settings = {**SETTINGS, "epochs": 64}
        params = {"task": str(self.by_model), "data": self.orders, "settings": settings}
        with admin_client(self.data, needs_server=True) as client:
            wanted = JobStart.of(kind="tune", params={**params, "plan": plan})
            return client.call(JOB_START, wanted).id

    def job(self, number: int) -> dict[str, Any]:
        return self.run("job", "show", str(number))

    async def reaches(self, number: int, state: str, phase: str) -> None:
        """Wait until a job is in this state, with this word in its phase."""
        while (found := self.job(number))["state"] != state or (
            phase not in found["progress"]["phase"]
        ):
            assert found["state"] in ("queued", "running", "cancelling"), found
            await asyncio.sleep(0.5)  # as `job watch` does


@pytest.fixture
def site(tmp_path: Path, default_model_path: Path, tuning_set: Path) -> Iterator[BesideSite]:
    found = BesideSite(tmp_path, default_model_path)
    with serving(found.data, free_port()):
        yield found


@pytest.mark.parametrize(("plan", "phase"), [(True, ""), (False, "train")])
async def test_a_gate_of_a_classifier_does_not_wait_for_a_tuning(
    site: BesideSite, plan: bool, phase: str
) -> None:
    gates = [site.bring(task) for task in (site.by_classifier, site.by_model)]
    tuning = site.tune(plan=plan)
    await site.reaches(tuning, "running", phase)
    assert site.gate(gates[0])["verdict"] in ("pass", "fail", "underpowered")
    assert site.job(tuning)["state"] == "running"
    # the control: one that needs the engine waits for its turn
    waiting = site.gate(gates[1], "--no-wait")["id"]
    assert site.job(waiting)["state"] == "queued"
    assert site.job(tuning)["state"] == "running"
    for number in (waiting, tuning):
        site.run("job", "cancel", str(number))
    await site.reaches(tuning, "cancelled", "")
