"""A lab data directory and signed artifacts for tests of the admin app and its clients."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.api.admin.private import serve_privately
from appliance.app import Services, initialise, open_services
from appliance.client import AdminClient, Report
from appliance.trust.artifacts import signing
from appliance.trust.statements import approval
from appliance.trust.statements.approval import ApprovalSubject
from appliance.wire.admin import models as wire
from appliance.wire.admin.jobs import JOB_START, Job, JobStart
from appliance.wire.admin.pointers import TASK_POINT, Name, PointerUpload
from tests.trust import forge

APPROVERS = ("approver-1", "approver-2")


@dataclass
class Reports:
    phases: list[str] = field(default_factory=list)

    def __call__(self, phase: str, done: int, total: int) -> None:
        self.phases.append(phase)


@dataclass(frozen=True)
class LabData:
    """An initialised data directory; artifacts are made beside it."""

    data: Path

    def key(self, name: str) -> Path:
        return self.data / "keys" / "lab" / f"{name}.pem"

    def artifact(self, name: str = "tiny") -> Path:
        path = self.data.parent / name
        forge.make_artifact(path)
        signing.sign_directory(path, self.key("publisher").read_bytes(), forge.quiet)
        return path

    def approval(self, client: AdminClient, model_id: str, name: str, key: str = "") -> bytes:
        subject = client.call(wire.MODEL_SUBJECT, model_id=model_id)
        return approval.sign(
            ApprovalSubject(subject.digest, subject.signature_sha256, subject.round),
            name=name,
            meaning="fit for use",
            time_us=1_764_000_000_000_000,
            private_key=self.key(key or name).read_bytes(),
        )

    def approved(self, client: AdminClient, model_id: str = "tiny") -> str:
        import_model(client, self.artifact(model_id), model_id)
        for name in APPROVERS:
            approve_model(client, model_id, self.approval(client, model_id, name))
        return model_id


def import_model(
    client: AdminClient, path: Path, model_id: str | None = None, report: Report = forge.quiet
) -> wire.ModelImported:
    wanted = wire.ModelImport.of(path=str(path), id=model_id)
    return client.call(wire.MODEL_IMPORT, wanted, report=report)


def approve_model(client: AdminClient, model_id: str, envelope: bytes) -> wire.Model:
    wanted = wire.ApprovalUpload.holding(envelope)
    return client.call(wire.MODEL_APPROVE, wanted, model_id=model_id)


def start_job(client: AdminClient, kind: str, params: dict[str, Any]) -> Job:
    return client.call(JOB_START, JobStart.of(kind=kind, params=params))


def point_name(client: AdminClient, envelope: bytes) -> Name:
    return client.call(TASK_POINT, PointerUpload.of(envelope=envelope.decode()))


def make_lab(root: Path) -> LabData:
    initialise(root / "data", "lab")
    return LabData(root / "data")


@contextlib.contextmanager
def client_of(services: Services) -> Iterator[AdminClient]:
    with serve_privately(services) as socket, AdminClient(socket) as client:
        yield client


@contextlib.contextmanager
def opened(lab: LabData) -> Iterator[tuple[Services, AdminClient]]:
    with open_services(lab.data) as services, client_of(services) as client:
        yield services, client
