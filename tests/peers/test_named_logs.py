"""A log that is put back, forked or cut is named by both other appliances of its site."""

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.app import open_services
from appliance.audit.reader import LogReader
from tests.peers.site_servers import SiteServer, servers, until
from tests.smol import SMALL

ROUNDS = 20
FEW, MORE = 3, 15
"""Keys that are made after the backup; by the fork, so that its log becomes the longer one."""
NO_SOCKETS = shutil.ignore_patterns("*.sock")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]


def put_back(data: Path, backup: Path) -> None:
    """All of the backup, and nothing else."""
    shutil.copytree(backup, data)


def forked(data: Path, backup: Path) -> None:
    """The backup, which went on alone until its log was longer."""
    put_back(data, backup)
    with open_services(data, config=SMALL) as alone:
        for number in range(MORE):
            alone.keys.create(f"fork {number}")


def cut(data: Path, backup: Path) -> None:
    """Everything of today but the log, whose last entries are missing."""
    shutil.copytree(data.with_name("true"), data, ignore=NO_SOCKETS)
    shutil.rmtree(data / "audit")
    shutil.copytree(backup / "audit", data / "audit")


CHANGES: tuple[Callable[[Path, Path], None], ...] = (put_back, forked, cut)


def told(one: SiteServer, of: str) -> tuple[str, int]:
    """How the log of another one differs for one, and the entries that one saw of it."""
    (peer,) = (p for p in one.command("site", "status")["peers"] if p["name"] == of)
    return peer["differs"], peer["seen"]


def entries(one: SiteServer) -> int:
    reader = LogReader(one.data / "audit")
    try:
        return reader.size
    finally:
        reader.close()


@dataclass
class Round:
    """One appliance, and the two that watch it."""

    victim: SiteServer
    others: list[SiteServer]

    def named(self, wanted: bool) -> bool:
        """True if all others name its log, or none does."""
        return all(bool(told(one, self.victim.name)[0]) == wanted for one in self.others)

    def goes_on(self, few: int) -> None:
        """Write, and wait until the others saw it."""
        for _ in range(few):
            name = f"{self.victim.name} {entries(self.victim)}"
            self.victim.command("key", "new", name, "--any-model")
        size = entries(self.victim)
        until(lambda: all(told(one, self.victim.name)[1] >= size for one in self.others))

    def changed(self, change: Callable[[Path, Path], None], room: Path) -> float:
        """Change its log, and mend it again; the seconds until both named it."""
        victim, data = self.victim, self.victim.data
        victim.end(signal.SIGKILL)
        backup = shutil.copytree(data, room / "backup", ignore=NO_SOCKETS)
        victim.start()
        self.goes_on(FEW)
        assert self.named(wanted=False)
        victim.end(signal.SIGKILL)
        true = data.rename(data.with_name("true"))
        change(data, backup)
        begun = time.monotonic()
        victim.start()
        until(lambda: self.named(wanted=True))
        took = time.monotonic() - begun
        victim.end(signal.SIGKILL)
        shutil.rmtree(data)
        shutil.rmtree(backup)
        true.rename(data)
        victim.start()
        until(lambda: self.named(wanted=False))  # the control: the true log goes on
        return round(took, 2)


def test_both_others_name_it(tmp_path: Path) -> None:
    took: list[tuple[str, float]] = []
    with servers(tmp_path, "abc", audit='receipt = "mirrored"') as found:
        members = list(found.values())
        for number in range(ROUNDS):
            change = CHANGES[number % len(CHANGES)]
            victim = members[number % 2]
            others = [one for one in members if one is not victim]
            took.append((change.__name__, Round(victim, others).changed(change, tmp_path)))
    print(took)  # noqa: T201 - its times are told, not asserted
    assert len(took) == ROUNDS
