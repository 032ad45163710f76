"""A host with systemd, without any network: Debian 13 in a container of systemd-nspawn.

It boots from a read-only image; its writes are kept beside it, so it can be booted again. It has
the test machine's kernel: BPF, by which systemd restricts addresses and ports, may be missing.
"""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.bundle.cache import cache_root
from tests.conftest import CHECKOUT, need_tool, unavailable

SECONDS: Final = 900
MARK: Final = "=== "
_ENTER: Final = CHECKOUT / "tests" / "installer" / "guest.sh"
_PACKAGES: Final = "openssl,systemd-sysv,dbus"
_LOG: Final = "task.log"
_UNIT: Final = f"""\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cp /mnt/s/task /run/task \
&& sh /run/task >/{_LOG} 2>&1; systemctl poweroff --no-block'
[Install]
WantedBy=default.target
"""


@dataclass(frozen=True)
class Said:
    """The script's output, by the steps that it announced with `MARK`, and the console."""

    steps: dict[str, str]
    console: str


def boot(work: Path, script: str, *, end_at: str = "") -> Said:
    """Boot the host that lives in a directory, run a script, and switch it off.

    Args:
        work: with the directory `stick`, which the host sees at /mnt/s; keeps the host's disk.
        end_at: the host is ended at once when the script says this.
    """
    if os.geteuid() != 0:
        unavailable("a host with systemd takes root")
    need_tool("systemd-nspawn")
    (work / "stick" / "task").write_text(script)
    log = work / "up" / _LOG
    log.unlink(missing_ok=True)
    with (work / "console.log").open("wb") as console:
        command = [_ENTER, _image(), work]
        with subprocess.Popen(command, stdout=console, stderr=subprocess.STDOUT) as host:
            _wait(host, log, end_at)
    text = (work / "console.log").read_text(errors="replace")
    if not log.exists():
        unavailable(f"no systemd boots here: {text[-500:]}")
    return Said(_steps(log.read_text(errors="replace")), text)


def _wait(host: "subprocess.Popen[bytes]", log: Path, end_at: str) -> None:
    end = time.monotonic() + SECONDS
    while host.poll() is None:
        said = log.read_text(errors="replace") if end_at and log.exists() else ""
        if (end_at and end_at in said) or time.monotonic() > end:
            host.kill()
            assert end_at and end_at in said, f"the host did not power off in {SECONDS} s"
            host.wait()
            return
        time.sleep(0.02)
    assert not end_at or not log.exists(), f"{end_at!r} was never said"


def _steps(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for block in text.split(f"\n{MARK}"):
        name, _, body = block.removeprefix(MARK).partition("\n")
        found[name.strip()] = body
    return found


def _image() -> Path:
    place = cache_root() / "chroots" / "systemd"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        root, image = place / "root", place / "root.img"
        mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
        options = ["--variant=minbase", f"--include={_PACKAGES}", "trixie", str(root), mirror]
        subprocess.run([need_tool("debootstrap"), *options], check=True, capture_output=True)
        units = root / "etc" / "systemd" / "system"
        (units / "task.service").write_text(_UNIT)
        (units / "default.target.wants").mkdir(exist_ok=True)
        (units / "default.target.wants" / "task.service").symlink_to("../task.service")
        with image.open("wb") as file:
            file.truncate(2 << 30)  # sparse
        command = [need_tool("mkfs.ext4"), "-q", "-F", "-m", "0", "-d", str(root), str(image)]
        subprocess.run(command, check=True)
        shutil.rmtree(root)
        (place / "complete").touch()
    return place / "root.img"
