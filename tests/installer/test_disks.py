"""Disks that are full, out of inodes, mounted oddly, or cut off: nothing changed, or completed.

The host's home is an ext4 of its own. A power cut is an image of that disk, taken at a line of the
ledger: unsynced writes are lost.
"""

import contextlib
import inspect
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installer.bench import AFTER_A_LINE, Bench
from tests.installer.conftest import unchanged
from tests.installer.loops import attached, fill, mounted

PHASES = (
    "begin", "copy", "verify", "assemble", "label", "host", "stop", "snapshot", "switch",
    "initialise", "start", "health", "pin",
)  # fmt: skip
MEGABYTES = 600  # the installer wants 320 for the data
FULL = f"""
import contextlib

{inspect.getsource(fill)}

def after(phase):
    if phase == {{phase!r}}:
        fill(Path(os.environ["HOME"]))
"""
NO_INODES = """
def after(phase):
    if phase == {phase!r}:
        place = Path(os.environ["HOME"], "filler")
        place.mkdir()
        try:
            for number in range(1 << 20):
                (place / str(number)).touch()
        except OSError:
            pass
"""
CUT = """
import subprocess

def after(phase):
    if phase == {phase!r}:
        subprocess.run(["cp", "--sparse=always", {image!r}, {image!r} + ".cut"], check=True)
"""
NO_SYNC = """
from installer.host import files

files._syncfs = lambda fd: None
"""


@contextlib.contextmanager
def on_disk(bench: Bench, *, inodes: int = 0) -> Iterator[Path]:
    """Put the bench's home on a disk of its own; the disk's file."""
    moved, image = bench.place / "moved", bench.place / "home.img"
    bench.home.rename(moved)
    # Nothing is written but what is synced: the next commit of the journal is minutes away.
    with mounted(image, bench.home, MEGABYTES, options="commit=300", inodes=inodes):
        subprocess.run(["cp", "-a", f"{moved}/.", bench.home], check=True)
        subprocess.run(["sync", "-f", bench.home], check=True)
        yield image


def survive_full(bench: Bench, phase: str) -> None:
    """An upgrade whose disk is full from the end of a phase on; afterwards there is room again."""
    with on_disk(bench):
        before = bench.footprint()
        bench.hook(FULL.format(phase=phase) + AFTER_A_LINE)
        done = bench.install()
        bench.unhook()
        if done.returncode != 0:
            assert "going back to what was" in done.stderr, done.stderr
            assert "not complete" not in done.stderr, done.stderr
            unchanged(bench, before)
        (bench.home / "filler").unlink()
        assert bench.install().returncode == 0
        assert bench.current == "2.0" and bench.is_whole()


@pytest.mark.parametrize("phase", ["verify", "switch"])
def test_full_at_a_phase(upgrade: Bench, phase: str) -> None:
    survive_full(upgrade, phase)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_with_a_full_disk(upgrade: Bench, phase: str) -> None:
    survive_full(upgrade, phase)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [0, 30, 100, 200, 400])
def test_a_state_directory_that_fills_up(upgrade: Bench, kilobytes: int) -> None:
    """The state directory is on a small disk, filled up to the last kilobytes."""
    place = upgrade.place / "disk"
    with mounted(upgrade.place / "disk.img", place, 4):
        subprocess.run(["cp", "-a", f"{upgrade.state}/.", place], check=True)
        subprocess.run(["mount", "--bind", place, upgrade.state], check=True)
        try:
            before = upgrade.footprint()
            fill(upgrade.state, kilobytes << 10)
            done = upgrade.install()
            if done.returncode != 0:
                assert "disk_full" in done.stderr or "No space" in done.stderr, done.stderr
                unchanged(upgrade, before)
            (upgrade.state / "filler").unlink()
            assert upgrade.install().returncode == 0
            assert upgrade.current == "2.0"
        finally:
            subprocess.run(["umount", "-l", upgrade.state], check=True)


def test_out_of_inodes(upgrade: Bench) -> None:
    with on_disk(upgrade, inodes=4000):
        before = upgrade.footprint()
        upgrade.hook(NO_INODES.format(phase="verify") + AFTER_A_LINE)
        done = upgrade.install()
        upgrade.unhook()
        assert done.returncode == 1 and "disk_full" in done.stderr, done.stderr
        shutil.rmtree(upgrade.home / "filler")
        unchanged(upgrade, before)
        assert upgrade.install().returncode == 0


def test_too_few_inodes_are_told_before(upgrade: Bench) -> None:
    with on_disk(upgrade, inodes=400):
        before = upgrade.footprint()
        done = upgrade.install()
        assert done.returncode == 1 and "inodes_low" in done.stderr, done.stderr
        unchanged(upgrade, before)


def test_a_noexec_or_readonly_place_is_refused(fresh: Bench) -> None:
    for options, code in (("noexec", "mount_noexec"), ("ro", "mount_readonly")):
        place = fresh.place / options
        with mounted(fresh.place / f"{options}.img", place, 64, options=options):
            answers = fresh.place / "answers.toml"
            answers.write_text(f'prefix = "{place}/p"\n')
            done = fresh.install("--answers", str(answers))
            assert done.returncode == 1 and code in done.stderr, done.stderr
        assert fresh.footprint() == {}


def test_a_host_where_programs_do_not_run(fresh: Bench) -> None:
    """The mount option, or fapolicyd: its pipe is in this test's own /run."""
    place = fresh.place / "denied"
    daemon = "mkdir /run/fapolicyd && mkfifo /run/fapolicyd/fapolicyd.fifo"
    with mounted(fresh.place / "denied.img", place, 64, options="noexec"):
        for begin, code in ((":", "mount_noexec"), (daemon, "programs_denied")):
            script = f'mount -t tmpfs none /run && {begin} && exec "$@"'
            prefix = ("unshare", "--mount", "sh", "-c", script, "sh")
            done = fresh.install("--state", str(place / "state"), prefix=prefix)
            assert done.returncode == 1 and f"{code}: " in done.stderr, done.stderr
            assert "ermission denied" in done.stderr
        assert not (place / "state").exists()
    assert fresh.footprint() == {}


def cut_off(bench: Bench, phase: str, *, more: str = "") -> Path:
    """Upgrade on a disk of its own; the disk as of a line of the ledger."""
    with on_disk(bench) as image:
        bench.hook(more + CUT.format(phase=phase, image=str(image)) + AFTER_A_LINE)
        done = bench.install()
        assert done.returncode == 0, done.stderr
    return Path(f"{image}.cut")


def survive_cut(bench: Bench, phase: str) -> None:
    before = bench.footprint()
    disk = cut_off(bench, phase)
    with attached(disk, bench.home):
        (bench.home / "hook.py").unlink(missing_ok=True)
        recovered = bench.installer("recover", "--boot")
        assert recovered.returncode == 0, recovered.stderr
        if phase == "commit":
            assert bench.current == "2.0" and bench.is_whole()
        else:
            assert bench.current == "1.0"
            unchanged(bench, before)
        assert bench.install().returncode == 0
        assert bench.current == "2.0" and bench.is_whole()


@pytest.mark.parametrize("phase", ["switch", "commit"])
def test_power_cut(upgrade: Bench, phase: str) -> None:
    survive_cut(upgrade, phase)


@pytest.mark.slow
@pytest.mark.parametrize("phase", [*PHASES, "commit"])
def test_power_cut_at_any_line(upgrade: Bench, phase: str) -> None:
    survive_cut(upgrade, phase)


def test_an_installer_that_does_not_sync_is_caught(upgrade: Bench) -> None:
    disk = cut_off(upgrade, "commit", more=NO_SYNC)
    with attached(disk, upgrade.home):
        (upgrade.home / "hook.py").unlink(missing_ok=True)
        assert upgrade.current == "2.0"
        assert not upgrade.is_whole()
