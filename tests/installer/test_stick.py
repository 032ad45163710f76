"""A stick that fails, or changes, while it is read: nothing changed, or completed."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import need_tool
from tests.installer.bench import AFTER_A_LINE, Bench
from tests.installer.conftest import unchanged
from tests.installer.loops import attached, mounted

LARGEST = "max((stick / 'blobs').iterdir(), key=lambda path: path.stat().st_size)"
SPOIL = f"""
stick = Path({{stick!r}})
blob = {LARGEST}

def spoil(path):
    path.write_bytes(bytes(b ^ 255 for b in path.read_bytes()))

def after(phase):
    if phase == {{phase!r}}:
        for path in {{files}}:
            spoil(path)
"""
PULL = """
from installer.host import store
copy_chunk = store._copy_chunk

def pulled(*arguments):
    copied = copy_chunk(*arguments)
    os.truncate({image!r}, 0)  # the device is gone: whatever is read from now on is an error
    return copied

store._copy_chunk = pulled
"""


def on_loop(bench: Bench, image: Path) -> None:
    """Put the bench's stick on a file system of its own, then pull it out."""
    with mounted(image, bench.place / "usb", 64):
        subprocess.run(["cp", "-r", bench.stick, bench.place / "usb" / "bundle"], check=True)


def test_a_readonly_noexec_stick_installs(fresh: Bench) -> None:
    image = fresh.place / "usb.img"
    on_loop(fresh, image)
    with attached(image, fresh.place / "usb", options="ro,noexec"):
        done = fresh.install(stick=fresh.place / "usb" / "bundle")
        assert done.returncode == 0, done.stderr


def test_pulled_out_in_mid_copy(upgrade: Bench) -> None:
    before = upgrade.footprint()
    image = upgrade.place / "usb.img"
    on_loop(upgrade, image)
    saved = image.read_bytes()
    with attached(image, upgrade.place / "usb", options="ro"):
        upgrade.hook(PULL.format(image=str(image)))
        done = upgrade.install(stick=upgrade.place / "usb" / "bundle")
        assert done.returncode == 1, done.stderr
        assert "media_unreadable" in done.stderr or "file_missing" in done.stderr, done.stderr
    unchanged(upgrade, before)
    upgrade.unhook()
    image.write_bytes(saved)
    with attached(image, upgrade.place / "usb", options="ro"):
        done = upgrade.install(stick=upgrade.place / "usb" / "bundle")
        assert done.returncode == 0, done.stderr
        assert "there already" in done.stderr  # it went on where it was
    assert upgrade.current == "2.0"


@pytest.mark.parametrize(
    ("name", "calls"),
    [("runtime.tar.gz", "read,copy_file_range"), ("blobs", "pread64")],
    ids=["before the installer", "by the installer"],
)
def test_a_read_that_fails(upgrade: Bench, name: str, calls: str) -> None:
    before = upgrade.footprint()
    path = upgrade.stick / name
    if name == "blobs":
        path = max(path.iterdir(), key=lambda each: each.stat().st_size)
    strace = [need_tool("strace"), "-f", "-o", "/dev/null", "-P", str(path)]
    strace += ["-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"]
    done = upgrade.install(prefix=tuple(strace))
    assert done.returncode == 1, done.stderr
    assert "media_unreadable" in done.stderr and path.name in done.stderr, done.stderr
    unchanged(upgrade, before)
    assert upgrade.install().returncode == 0


def test_contents_that_change_before_they_are_copied(upgrade: Bench) -> None:
    before = upgrade.footprint()
    values = {"stick": str(upgrade.stick), "phase": "begin", "files": "[blob]"}
    upgrade.hook(SPOIL.format(**values) + AFTER_A_LINE)
    done = upgrade.install()
    assert done.returncode == 1 and "file_changed" in done.stderr, done.stderr
    unchanged(upgrade, before)


def test_contents_that_change_after_they_were_copied(upgrade: Bench) -> None:
    files = "[p for p in stick.rglob('*') if p.is_file()]"
    values = {"stick": str(upgrade.stick), "phase": "copy", "files": files}
    upgrade.hook(SPOIL.format(**values) + AFTER_A_LINE)
    done = upgrade.install()
    assert done.returncode == 0, done.stderr
    upgrade.unhook()
    assert upgrade.current == "2.0"
    assert upgrade.is_whole()
