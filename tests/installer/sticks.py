"""The real bundles of `make test-install`: built once for each state of their inputs."""

import datetime
import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from installer.bundle.build import Wanted, build
from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.default_model import default_model, obtain
from installer.bundle.media import new_key
from tests.conftest import CHECKOUT
from tests.smol import quiet
from tests.trust import policies
from tests.trust.simulator import DAY, ROLES, Simulator

INPUTS = (
    "appliance", "auditor", "tui", "installer", "models", "offline-wheels", "LICENSE",
    "pyproject.toml", "docs", ":!docs/install-results.md",
)  # fmt: skip
MODEL = "smollm2"


@dataclass(frozen=True)
class Sticks:
    """Two releases of a lab, one whose self-test is broken, one of a site with a signed model."""

    place: Path

    @property
    def first(self) -> Path:
        return self.place / "first"

    @property
    def second(self) -> Path:
        return self.place / "second"

    @property
    def broken(self) -> Path:
        return self.place / "broken"

    @property
    def site(self) -> Path:
        return self.place / "site"

    @property
    def key(self) -> Path:
        return self.place / "vendor.pem"

    @property
    def root(self) -> Path:
        return self.place / "trust" / "metadata" / "1.root.json"

    @cached_property
    def fingerprint(self) -> str:
        return sha256_file(self.first / "vendor.pub")

    def megabytes(self, stick: Path, *, models: bool) -> float:
        size = sum(path.stat().st_size for path in stick.rglob("*") if path.is_file())
        model = sum(path.stat().st_size for path in (self.place / MODEL).iterdir())
        return (size if models else size - model) / 1e6

    def build_first(self, out: Path) -> None:
        build(out, Wanted(self.key, 1, lab_models=[self.place / MODEL]))


def inputs() -> str:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *INPUTS]
    names = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True).stdout
    digest = hashlib.sha256()
    for name in sorted(set(names.split(b"\0")) - {b""}):
        path = CHECKOUT / name.decode()
        if path.is_file():
            digest.update(name + b"\0" + sha256_file(path).encode())
    return digest.hexdigest()[:16]


def obtain_sticks() -> Sticks:
    """The bundles of this checkout; those of another state are removed."""
    root = cache_root() / "test-install"
    root.mkdir(exist_ok=True)
    place = root / inputs()
    for other in root.iterdir():
        if other.is_dir() and other != place:
            shutil.rmtree(other)
    sticks = Sticks(place)
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        _build(sticks)
        (place / "complete").touch()
    return sticks


def _build(sticks: Sticks) -> None:
    source = obtain(cache_root() / "models", default_model())
    for model in (sticks.place / MODEL, sticks.place / "signed" / MODEL):
        model.mkdir(parents=True)
        shutil.copyfile(source, model / source.name)
    signed = sticks.place / "signed" / MODEL
    signing.sign_directory(signed, ecdsa.private_pem(policies.PUBLISHER), quiet)
    (sticks.place / "people").mkdir()
    for name, key in (("Alice", policies.ALICE), ("Bob", policies.BOB)):
        (sticks.place / "people" / f"{name}.pem").write_bytes(ecdsa.private_pem(key))
    new_key(sticks.key)
    _publish(sticks.place / "trust")
    sticks.build_first(sticks.first)
    build(sticks.second, Wanted(sticks.key, 2, lab_models=[sticks.place / MODEL]))
    build(sticks.broken, Wanted(sticks.key, 3, sabotage=True))
    build(sticks.site, Wanted(sticks.key, 4, models=[signed], trust=sticks.place / "trust"))


def _publish(trust: Path) -> None:
    """A security officer's publication: a policy that allows the one model."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    officer = Simulator(expires=dict.fromkeys(ROLES, now + 30 * DAY))
    officer.policy["models"] = [{"id": MODEL}]
    for name, data in officer.publish().items():
        below = trust / ("targets" if name == "policy.json" else "metadata")
        below.mkdir(parents=True, exist_ok=True)
        (below / name).write_bytes(data)
