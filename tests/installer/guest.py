"""A machine with systemd: Debian 13 and its cloud kernel under KVM, without any network card.

It boots from an image that nothing is written to, or from a copy of it, with the stick as a second
disk, runs one script as root, writes what that says to its second serial line, and powers off. Its
power can be cut: the machine is ended at once, and what it had not written to its disk is lost.
"""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.bundle.cache import cache_root
from tests.conftest import need_tool, unavailable

SECONDS: Final = 900
MARK: Final = "=== "
_PACKAGES: Final = "openssl,systemd-sysv,dbus,udev,initramfs-tools,linux-image-cloud-amd64"
_UNIT: Final = """\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir -p /mnt/s && mount -o ro,noexec /dev/vdb /mnt/s \
&& cp /mnt/s/task /run/task && sh /run/task >/dev/ttyS1 2>&1; systemctl poweroff --no-block'
[Install]
WantedBy=default.target
"""


@dataclass(frozen=True)
class Said:
    """What the script said, by the steps that it announced with `MARK`, and the console."""

    steps: dict[str, str]
    console: str


def boot(
    work: Path,
    script: str,
    *,
    cpu: str = "host",
    kernel: str = "",
    memory: int = 2560,
    disk: Path | None = None,
    cut: str = "",
) -> Said:
    """Boot, run a script with the directory `work/stick` as the second disk, power off.

    Args:
        work: with the directory `stick`; gets the logs.
        script: of `sh`.
        cpu: the processor that the guest sees.
        kernel: further words of the kernel's command line.
        memory: MiB.
        disk: the disk to boot from and to write to; by default the image, unchanged.
        cut: the power is cut when the script says this.
    """
    image = _image()
    (work / "stick" / "task").write_text(script)
    stick = _make_image(work / "stick.img", work / "stick")
    task, console = work / "task.log", work / "console.log"
    boot_files = image.parent / "boot"
    root = f"file={disk or image},if=virtio,format=raw,snapshot={'off' if disk else 'on'}"
    command = [need_tool("qemu-system-x86_64"), "-accel", "kvm", "-cpu", cpu, "-smp", "2"]
    command += ["-m", str(memory), "-display", "none", "-no-reboot", "-nic", "none"]
    command += ["-kernel", str(boot_files / "vmlinuz"), "-initrd", str(boot_files / "initrd.img")]
    command += ["-append", f"root=/dev/vda rw console=ttyS0 panic=-1 {kernel}"]
    command += ["-drive", root]
    command += ["-drive", f"file={stick},if=virtio,format=raw,readonly=on"]
    command += ["-serial", f"file:{console}", "-serial", f"file:{task}"]
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as machine:
            _wait(machine, task, cut)
    finally:
        stick.unlink()
    return Said(_steps(task.read_text(errors="replace")), console.read_text(errors="replace"))


def copy_of_the_image(target: Path) -> Path:
    """A disk that a guest may write to."""
    subprocess.run(["cp", "--sparse=always", _image(), target], check=True)
    return target


def _wait(machine: "subprocess.Popen[bytes]", task: Path, cut: str) -> None:
    """Until the machine is off, or the script says that the power is cut."""
    end = time.monotonic() + SECONDS
    while machine.poll() is None:
        said = task.read_text(errors="replace") if cut and task.exists() else ""
        if (cut and cut in said) or time.monotonic() > end:
            machine.kill()
            assert cut in said, f"the guest did not power off in {SECONDS} s"
            return
        time.sleep(0.05)
    assert machine.returncode == 0 and not cut, f"qemu ended with {machine.returncode}"


def _steps(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for block in text.replace("\r\n", "\n").split(f"\n{MARK}"):
        name, _, body = block.removeprefix(MARK).partition("\n")
        found[name.strip()] = body
    return found


def _image() -> Path:
    """The disk that the guest boots from, made once."""
    if not os.access("/dev/kvm", os.W_OK):
        unavailable("no /dev/kvm: a guest would take an hour")
    place = cache_root() / "chroots" / "guest"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        root = place / "root"
        mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
        options = ["--variant=minbase", f"--include={_PACKAGES}", "trixie", str(root), mirror]
        subprocess.run([need_tool("debootstrap"), *options], check=True, capture_output=True)
        units = root / "etc" / "systemd" / "system"
        (units / "task.service").write_text(_UNIT)
        (units / "default.target.wants").mkdir(exist_ok=True)
        (units / "default.target.wants" / "task.service").symlink_to("../task.service")
        (place / "boot").mkdir()
        for name in ("vmlinuz", "initrd.img"):
            shutil.copyfile((root / name).resolve(), place / "boot" / name)
        _make_image(place / "root.img", root, spare_mib=3000)
        shutil.rmtree(root)
        (place / "complete").touch()
    return place / "root.img"


def _make_image(image: Path, directory: Path, *, spare_mib: int = 64) -> Path:
    """An ext4 with what is in a directory; the file is sparse."""
    size = sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())
    with image.open("wb") as file:
        file.truncate(size * 5 // 4 + (spare_mib << 20))
    command = [need_tool("mkfs.ext4"), "-q", "-F", "-m", "0", "-d", str(directory), str(image)]
    subprocess.run(command, check=True)
    return image
