"""A site: its repository, its data directory under a clock that stands at `NOW`, its people."""

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from appliance.app import Services, initialise, open_services
from appliance.clock import FixedClock
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import metadata, trusted_file
from appliance.trust.statements import approval
from tests.smol import SMALL, quiet
from tests.trust import forge, policies
from tests.trust.simulator import NOW, Simulator

NOW_US = int(NOW.timestamp()) * 1_000_000
MODEL = "tiny"
PEOPLE = {"Alice": policies.ALICE, "Bob": policies.BOB}


@dataclass
class Site:
    """A site where publication 5 is in force and any model named `MODEL` is allowed."""

    data: Path
    sim: Simulator
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW_US))

    @contextmanager
    def services(self) -> Iterator[Services]:
        with open_services(self.data, config=SMALL, clock=self.clock) as opened:
            yield opened

    def artifact(self, path: Path) -> Path:
        forge.make_artifact(path)
        signing.sign_directory(path, ecdsa.private_pem(policies.PUBLISHER), quiet)
        return path

    def days(self, count: float) -> None:
        self.clock.advance(count * 86_400)


def make_site(root: Path, sim: Simulator, *, model: str = MODEL) -> Site:
    sim.policy["models"] = [{"id": model}]
    made = Site(root / "data", sim)
    first = sim.roots[0]
    initialise(made.data, "site", made.clock, root=first, fingerprint=sim.fingerprint)
    begun = trusted_file.load(made.data / "trust")
    trusted_file.save(made.data / "trust", metadata.advance(begun, sim.publish(), NOW).held)
    return made


def signed_model(root: Path, gguf: Path) -> Path:
    """An artifact that the publisher signed."""
    artifact = root / MODEL
    artifact.mkdir()
    shutil.copyfile(gguf, artifact / "model.gguf")
    signing.sign_directory(artifact, ecdsa.private_pem(policies.PUBLISHER), quiet)
    return artifact


def approve(services: Services, model_id: str, *names: str) -> None:
    for name in names:
        envelope = approval.sign(
            services.lifecycle.subject(model_id),
            name=name,
            meaning="fit for use",
            time_us=services.clock.wall_us(),
            private_key=ecdsa.private_pem(PEOPLE[name]),
        )
        services.lifecycle.approve("uid:0", model_id, envelope)


def fresh(sim: Simulator) -> Simulator:
    return copy.deepcopy(sim.copy())
