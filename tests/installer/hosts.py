"""Bare Debian hosts that live through stages, each kept as a layer over the one before.

A failed stage is run again on the layers of those before it.
"""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from installer.bundle.cache import cache_root
from tests.conftest import CHECKOUT, need_tool
from tests.installer.sticks import Sticks

SUITES = ("bullseye", "bookworm", "trixie")
_ENTER = CHECKOUT / "tests" / "installer" / "chroot.sh"


@dataclass(frozen=True)
class Ran:
    """A script's output, exit status, and duration."""

    status: int
    text: str
    seconds: float


@dataclass(frozen=True)
class Host:
    """A host at the beginning of a stage; `done` keeps its changes."""

    base: Path
    place: Path
    before: tuple[str, ...]
    stage: str

    @classmethod
    def at(cls, sticks: Sticks, suite: str, stage: str, before: tuple[str, ...]) -> "Host":
        """The host of a suite after the stages `before`, which must have passed."""
        place = sticks.place / "hosts" / suite
        place.mkdir(parents=True, exist_ok=True)
        for name in before:
            if not (place / f"{name}.done").exists():
                pytest.fail(f"{suite}: the stage before this one, {name}, has not passed")
        host = cls(bare(suite), place, before, stage)
        host._mark.unlink(missing_ok=True)
        for path in (host.changes, *(Path(f"{host.changes}{x}") for x in (".work", ".root"))):
            shutil.rmtree(path, ignore_errors=True)
        return host

    @property
    def changes(self) -> Path:
        return self.place / self.stage

    @property
    def _mark(self) -> Path:
        return self.place / f"{self.stage}.done"

    def done(self) -> None:
        """The stage passed: later ones may begin on it."""
        self._mark.touch()

    def write(self, name: str, text: str) -> None:
        path = self.changes / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, stick: Path, script: str, trace: Path | None = None) -> Ran:
        # Short names: mount(8) hands on no option of more than 256 bytes.
        lower = [*reversed(self.before), str(self.base)]
        env = os.environ | ({"TRACE": str(trace)} if trace else {})
        began = time.monotonic()
        done = subprocess.run(
            [_ENTER, ":".join(lower), self.stage, stick, "sh", "-euc", script],
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            text=True,
        )
        return Ran(done.returncode, done.stdout, time.monotonic() - began)

    def must(self, stick: Path, script: str, trace: Path | None = None) -> Ran:
        ran = self.run(stick, script, trace)
        assert ran.status == 0, ran.text
        return ran


def bare(suite: str) -> Path:
    base = cache_root() / "chroots" / suite
    if not (base / "complete").exists():
        need_tool("debootstrap")
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
        options = ["--variant=minbase", "--include=openssl", suite, str(base), mirror]
        subprocess.run(["debootstrap", *options], check=True, capture_output=True)
        (base / "complete").touch()
    return base
