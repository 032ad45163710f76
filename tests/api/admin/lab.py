"""A lab data directory and signed artifacts for tests of the admin app and its clients."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.api.admin.private import serve_privately
from appliance.app import Services, initialise, open_services
from appliance.client import AdminClient
from appliance.trust.artifacts import signing
from appliance.trust.statements import approval
from appliance.trust.statements.approval import ApprovalSubject
from tests.trust import forge

APPROVERS = ("approver-1", "approver-2")


@dataclass
class Reports:
    """A progress that remembers."""

    phases: list[str] = field(default_factory=list)

    def __call__(self, phase: str, done: int, total: int) -> None:
        self.phases.append(phase)


@dataclass(frozen=True)
class LabData:
    """An initialised data directory; artifacts are made beside it."""

    data: Path

    def key(self, name: str) -> Path:
        """A private key of the lab."""
        return self.data / "keys" / "lab" / f"{name}.pem"

    def artifact(self, name: str = "tiny") -> Path:
        """A directory with a tiny model, signed by the publisher."""
        path = self.data.parent / name
        forge.make_artifact(path)
        signing.sign_directory(path, self.key("publisher").read_bytes(), forge.quiet)
        return path

    def approval(self, client: AdminClient, model_id: str, name: str, key: str = "") -> bytes:
        """A signed approval of what the server says is to be approved."""
        subject = client.subject(model_id)
        return approval.sign(
            ApprovalSubject(subject.digest, subject.signature_sha256),
            name=name,
            meaning="fit for use",
            time_us=1_764_000_000_000_000,
            private_key=self.key(key or name).read_bytes(),
        )

    def approved(self, client: AdminClient, model_id: str = "tiny") -> str:
        """Import and approve a model; returns its id."""
        client.import_model(self.artifact(model_id), model_id, Reports())
        for name in APPROVERS:
            client.approve(model_id, self.approval(client, model_id, name))
        return model_id


def make_lab(root: Path) -> LabData:
    """A fresh data directory below `root`."""
    initialise(root / "data", "lab")
    return LabData(root / "data")


@contextlib.contextmanager
def client_of(services: Services) -> Iterator[AdminClient]:
    """A client of the admin app over these services."""
    with serve_privately(services) as socket, AdminClient(socket) as client:
        yield client


@contextlib.contextmanager
def opened(lab: LabData) -> Iterator[tuple[Services, AdminClient]]:
    """Open services and a client of their admin app."""
    with open_services(lab.data) as services, client_of(services) as client:
        yield services, client
