"""Kill -9 anywhere between a certificate, two approvals and a pointer.

    python -m tests.system.version_kills DIRECTORY KILLS SEED     counts on stdout, in JSON

Rules: each run is a fork, which ends by SIGKILL at a random moment, or by itself. Then the name
answers by exactly one version, whose certificate holds.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from appliance.app import Services, initialise, open_services
from appliance.audit.log import Draft
from appliance.errors import Refused
from appliance.evals import judging
from appliance.tasks.catalogue import ApprovedTasks
from appliance.tasks.names import TaskNames
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import evidence
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluation import GateCircumstances
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.specification import Specification
from appliance.types import Json
from tests.evals.gates import DAY_US, pairs
from tests.evals.sealed import add_dataset, envelope, terms
from tests.smol import APPROVERS, SMALL, approve, key
from tests.tasks.versions import LABELS, import_version

NAME = "orders"


def made(root: Path) -> Path:
    data = root / "data"
    initialise(data, "lab", evaluated=True)
    with open_services(data, config=SMALL) as services:
        add_dataset(services, root / "orders-data", groups=60)
        for number in (1, 2):
            import_version(services, root / f"v{number}", LABELS)
        step_of(services, "v1")
    return data


def step_of(services: Services, task: str) -> None:
    policy = load_policy(services.data / "trust")
    signed = certificate(services, task)
    found = evaluation.verify(signed, policy)
    logged(services, "certificate_kept", certificate=found.id, task_digest=found.wanted.task_digest)
    services.store.evaluations.add(signed, policy)
    for name in APPROVERS:
        try:
            if services.store.inventory.record(task).state != "approved":
                approve(services, task, name)
        except Refused as error:  # a killed run had its approval
            assert error.code == "approval_duplicate", error.code
    assert services.store.inventory.record(task).state == "approved", "it can never be approved"
    point(services, task)


def logged(services: Services, action: str, **fields: Json) -> None:
    services.audit.append(Draft("admin", {"action": action, "actor": "uid:0", **fields})).result()


def certificate(services: Services, task: str) -> bytes:
    wanted: Specification = terms(services, task, "orders-data")
    now = services.clock.wall_us()
    at = GateCircumstances(
        engine=services.store.evaluations.engine, template_sha256="", look=1, log="lab/00",
        entry=1, issued_us=now, valid_until_us=now + 300 * DAY_US,
    )  # fmt: skip
    found = judging.judge(wanted, pairs(400, gained=20))
    return evaluation.sign(
        envelope(services, wanted), wanted, found, at, evidence.ensure(services.data)
    )


def point(services: Services, task: str) -> None:
    newest = services.pointers.newest(NAME)
    digest = services.store.inventory.record(task).digest or ""
    wanted = TaskPointer(
        NAME, TaskVersion(task, digest), newest[0] if newest else "", APPROVERS[0], "kill",
        "2026-09-21T00:00:00Z",
    )  # fmt: skip
    signed = wanted.sign(key(services.data, APPROVERS[0]))
    verified = TaskPointer.verify(signed, load_policy(services.data / "trust"))
    fields: dict[str, Json] = {
        "name": NAME, "pointer": verified.id, "envelope": signed.decode(),
    }  # fmt: skip
    services.pointers.flip(verified, lambda: logged(services, "task_pointer", **fields))


async def run(data: Path) -> None:
    with open_services(data, config=SMALL) as services:
        while True:
            step_of(services, "v2")
            for task in ("v1", "v2") * 10 + ("v1",):
                point(services, task)
            await services.pool.suspend("uid:0", "v2", "taken away")


def check(data: Path) -> str:
    """As a server does at its start; AssertionError: a broken promise."""
    with open_services(data, config=SMALL) as services:
        policy = load_policy(data / "trust")
        tasks = ApprovedTasks(services.store, lambda: policy)
        live = TaskNames(tasks, services.pointers, lambda: policy).live(NAME)
        assert live is not None, "nothing answers, and v1 is certified and approved"
        for entry in tasks.entries():
            services.store.ask(entry.id, policy)  # raises when its certificate does not hold
        previous = ""
        for position, signed in enumerate(reversed(services.pointers.history(NAME))):
            told = TaskPointer.verify(signed, policy)
            assert told.said.previous == previous, f"pointer {position} follows none"
            previous = told.id
        state = services.store.inventory.record("v2").state
        return f"live {live.id}, v2 {state}"


def served_without(data: Path) -> None:
    """The control: v2, approved, is refused once its certificates are gone."""
    with open_services(data, config=SMALL) as services:
        step_of(services, "v2")
        with services.store.evaluations._database.begin() as connection:
            connection.exec_driver_sql("DELETE FROM certificates")
    try:
        check(data)
    except Refused as error:
        assert error.code == "evaluation_missing", error.code
        return
    raise AssertionError("a task is served without a certificate, and the check sees nothing")


def main(root: Path, kills: int, seed: int) -> dict[str, Any]:
    data = made(root)
    drawn, found = random.Random(seed), Counter[str]()
    begun = time.monotonic()
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            asyncio.run(run(data))
            os._exit(1)  # not reached
        time.sleep(drawn.uniform(0.02, 1.5))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"the run ended by itself: {status}"
        found[check(data)] += 1
    served_without(data)
    return {"kills": kills, "found": dict(found), "seconds": round(time.monotonic() - begun)}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    sys.stdout.write(json.dumps(main(place, int(sys.argv[2]), int(sys.argv[3]))) + "\n")
