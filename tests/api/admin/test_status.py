"""The status of the appliance."""

from typing import cast

import pytest

from appliance.api.admin.status import server_state
from appliance.app import Services, open_services
from appliance.client import AdminClient
from appliance.config import AuditConfig, Config, RolesConfig
from appliance.wire.admin.models import STATUS, Worker, WorkerDevice
from appliance.workers.supervisor import Supervisor
from tests.api.admin.lab import LabData, client_of
from tests.parts import having

WORKER = Worker(
    model="m", digest="00", state="ready", pid=1, n_ctx=64, slots=2, running=1, queued=0,
    kv_used=10, restarts=0, memory_mib=100, variant="haswell", confinement={"seccomp": True},
    held="memory",
)  # fmt: skip


class Workers:
    """Stands where the supervisor is asked for its workers."""

    def __init__(self, *states: str) -> None:
        self._states = states
        self.warning = ""

    def status(self) -> list[Worker]:
        device = WorkerDevice(text="processor", warning=self.warning)
        return [
            WORKER.model_copy(update={"state": state, "device": device}) for state in self._states
        ]

    def is_loaded(self, _model_id: str) -> bool:
        return True

    def quarantined(self) -> list[tuple[str, str]]:
        return []


@pytest.mark.parametrize(
    ("served", "latched", "states", "word"),
    [
        (True, None, ["ready", "restarting"], "serving"),
        (True, None, ["starting"], "loading"),
        (True, None, ["restarting"], "loading"),
        (True, None, ["suspended"], "idle"),
        (True, None, [], "idle"),
        (True, "full", ["ready"], "refusing"),
        (False, None, [], "stopped"),
        (False, "full", [], "refusing"),
    ],
)
def test_one_word_for_the_whole(
    served: bool, latched: str | None, states: list[str], word: str
) -> None:
    workers = [WORKER.model_copy(update={"state": state}) for state in states]
    assert server_state(served, latched, workers) == word


def test_a_fresh_lab(lab: LabData, client: AdminClient) -> None:
    status = client.call(STATUS)
    assert (status.profile, status.state, status.role) == ("lab", "stopped", "admin")
    assert (status.data, status.models, status.workers) == (str(lab.data), [], [])
    assert (status.audit.entries, status.audit.latched) == (1, None)
    assert len(status.audit.root) == 64
    assert status.host.cores >= 1


def test_workers_are_shown_as_they_are(services: Services) -> None:
    workers = cast(Supervisor, Workers("ready"))
    with client_of(having(services, supervisor=workers)) as client:
        (worker,) = client.call(STATUS).workers
    shown = worker.model_dump()
    assert shown.pop("device") == {"kind": "cpu", "text": "processor", "backend": "", "warning": ""}
    assert shown.pop("adapters") == []
    assert shown == WORKER.model_dump(exclude={"device", "adapters"})


def test_a_gpu_that_auto_passed_over_is_an_alarm(services: Services) -> None:
    passed_over = Workers("ready")
    passed_over.warning = "No GPU plugin is installed. (gpu_plugin_missing)"
    with client_of(having(services, supervisor=cast(Supervisor, passed_over))) as client:
        found = client.call(STATUS)
    assert any("gpu_plugin_missing" in alarm for alarm in found.alarms)
    assert "gpu_plugin_missing" in found.workers[0].device.warning
    with client_of(having(services, supervisor=cast(Supervisor, Workers("ready")))) as client:
        assert not any("gpu" in alarm for alarm in client.call(STATUS).alarms)


def test_trouble_is_an_alarm(lab: LabData) -> None:
    config = Config(audit=AuditConfig(reserve_mib=1 << 20), roles=RolesConfig(viewer=("nobody9",)))
    with open_services(lab.data, config=config) as services:
        troubled = having(services, supervisor=cast(Supervisor, Workers("restarting")))
        with client_of(troubled) as client:
            status = client.call(STATUS)
    assert status.state == "refusing"
    text = "\n".join(status.alarms)
    assert "audit log cannot be written" in text
    assert "'nobody9'" in text
    assert "restarting" in text
