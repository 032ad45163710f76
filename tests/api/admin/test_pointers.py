"""Routes of names: only an approved task is pointed at, and the log has it first."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.app import initialise, open_services
from appliance.errors import ApplianceError
from appliance.tasks.catalogue import ApprovedTasks
from appliance.tasks.names import TaskNames
from appliance.trust.artifacts.store import load_policy
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.wire.admin.pointers import TASK_NAMES, TASK_TARGET
from tests.api.admin.lab import client_of, point_name
from tests.evals.orders import TASK
from tests.evals.sealed import add_task
from tests.smol import APPROVERS, SMALL, approve, key


def code(action: Callable[[], object]) -> str:
    with pytest.raises(ApplianceError) as caught:
        action()
    return caught.value.code


async def test_a_name_points_at_approved_versions(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        add_task(services, tmp_path / "v1")
        add_task(services, tmp_path / "v2", TASK.replace("version = 1", "version = 2"))
        approve(services, "v1", *APPROVERS)
        policy = load_policy(services.data / "trust")
        names = TaskNames(
            ApprovedTasks(services.store, lambda: policy), services.pointers, lambda: policy
        )

        def envelope(task: str, previous: str = "", digest: str = "", shadow: str = "") -> bytes:
            versions = [
                TaskVersion(each, digest or services.store.inventory.record(each).digest or "")
                for each in (task, *([shadow] if shadow else []))
            ]
            made = TaskPointer(
                "orders", versions[0], previous, APPROVERS[0], "read", "2026-09-21T00:00:00Z",
                shadow=versions[1] if shadow else None,
            )  # fmt: skip
            return made.sign(key(services.data, APPROVERS[0]))

        def live() -> str | None:
            entry = names.live("orders")
            return None if entry is None else entry.id

        with client_of(services) as client:
            assert client.call(TASK_NAMES).names == [] and live() is None
            assert (
                code(lambda: client.call(TASK_TARGET, name="orders", task="v2")) == "not_approved"
            )
            assert code(lambda: client.call(TASK_TARGET, name="v1", task="v1")) == "model_id_taken"
            assert code(lambda: point_name(client, envelope("v2"))) == "not_approved"
            assert code(lambda: point_name(client, envelope("v1", shadow="v2"))) == "not_approved"
            assert (
                code(lambda: point_name(client, envelope("v1", digest="11" * 32)))
                == "artifact_kind"
            )
            entries = services.reader.size
            found = point_name(client, envelope("v1"))
            assert found.serves and found.pointers[0].live.task == "v1"
            assert services.reader.entry(entries).body["action"] == "task_pointer"
            assert live() == "v1" and [entry.id for entry in names.entries()] == ["orders"]
            assert code(lambda: point_name(client, envelope("v1"))) == "pointer_moved"
            approve(services, "v2", *APPROVERS)
            point_name(client, envelope("v2", found.pointers[0].id))
            assert live() == "v2"
            await services.pool.suspend("uid:0", "v2", "complaints")
            assert live() is None and names.entries() == []
            assert not client.call(TASK_NAMES).names[0].serves
