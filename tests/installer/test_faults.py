"""Faults around the small bundle: full disks, odd mounts, hostile surroundings, two at once.

Each ends in "nothing changed" or "completed". Faults of the stick itself are in
host/test_commands.py, kills after each line of the ledger in host/test_install.py.
"""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.bundle import pyz
from tests.conftest import need_tool, unavailable
from tests.installer.bench import KILLER, Bench

ROOT = os.geteuid() == 0


@pytest.fixture
def upgrade(bench: Bench) -> Bench:
    """Release 1.0 in service, and a stick with 2.0."""
    bench.bundle("1.0", 1)
    assert bench.install().returncode == 0
    bench.bundle("2.0", 2, schema=2)
    return bench


def unchanged(bench: Bench, before: dict[str, str]) -> None:
    """As before, but for what the audit log gained: it is never rolled back."""
    log = ".local/share/appliance-data/audit/log"
    after = bench.footprint()
    after.pop(log, None)
    before = {name: value for name, value in before.items() if name != log}
    assert after == before


@contextlib.contextmanager
def mounted(image: Path, place: Path, megabytes: int, options: str) -> Iterator[None]:
    """A loop ext4 of this size."""
    if not ROOT:
        unavailable("mounting takes root")
    image.write_bytes(b"")
    os.truncate(image, megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", f"loop,{options}", image, place], capture_output=True)
    if done.returncode != 0:
        unavailable(f"no loop mounts here: {done.stderr!r}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_hostile_surroundings_change_nothing(bench: Bench) -> None:
    bench.bundle("1.0", 1)
    evil = bench.place / "evil"
    evil.mkdir()
    (evil / "sitecustomize.py").write_text(f"open({str(bench.place / 'ran')!r}, 'w')")
    for name in ("json.py", "libggml-cpu-evil.so", "libcrypto.so.3"):
        (evil / name).write_text("not what it seems")
        (bench.place / name).write_text("not what it seems")
    surroundings = {
        "PYTHONPATH": str(evil), "PYTHONHOME": str(evil),
        "PYTHONSTARTUP": str(evil / "json.py"),
        "LD_LIBRARY_PATH": str(evil), "PIP_INDEX_URL": "http://192.0.2.1/",
        "PIP_CONFIG_FILE": str(evil), "GGML_BACKEND_PATH": str(evil / "libggml-cpu-evil.so"),
        "OPENSSL_CONF": str(evil / "json.py"), "TMPDIR": "/nowhere", "LC_ALL": "xx_YY.EBCDIC",
        "TAR_OPTIONS": "--to-command=false", "GZIP": "-9x", "IFS": "/",
        "ENV": str(evil / "json.py"),
        "CDPATH": str(evil),
    }  # fmt: skip
    done = bench.install(env=surroundings)
    assert done.returncode == 0, done.stderr
    assert not (bench.place / "ran").exists()
    assert bench.installer("check").returncode == 0


def test_a_restrictive_mask_completes(bench: Bench) -> None:
    bench.bundle("1.0", 1)
    done = bench.install(prefix=("sh", "-c", 'umask 077; exec "$@"', "sh"))
    assert done.returncode == 0, done.stderr
    assert bench.installer("check").returncode == 0


@pytest.mark.parametrize("year", [1970, 2037])
def test_a_wrong_clock_is_a_note_and_completes(bench: Bench, year: int) -> None:
    shifted = f"import time\nnow = time.gmtime({(year - 1970) * 31_557_600 + 86_400})\n"
    shifted += "time.time = lambda: time.mktime(now)\ntime.gmtime = lambda *_: now\n"
    bench.bundle("1.0", 1, main=shifted.encode() + pyz.MAIN)
    done = bench.install()
    assert done.returncode == 0, done.stderr
    assert f"The clock says {year}" in done.stderr


def test_two_installers_at_once(upgrade: Bench) -> None:
    before = upgrade.footprint()
    with (upgrade.state / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = upgrade.install()
        assert done.returncode == 1 and "installer_running" in done.stderr
        unchanged(upgrade, before)
    assert upgrade.install().returncode == 0


def test_a_running_server_is_not_pulled_away(upgrade: Bench) -> None:
    before = upgrade.footprint()
    with (upgrade.data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = upgrade.install()
        assert done.returncode == 1 and "service_running" in done.stderr
        unchanged(upgrade, before)


def test_a_failing_health_check_goes_back(upgrade: Bench) -> None:
    before = upgrade.footprint()
    log = (upgrade.data / "audit" / "log").read_text()
    broken = upgrade.bundle("3.0", 3, schema=3, broken=True, out=upgrade.place / "broken")
    done = upgrade.install(stick=broken)
    assert done.returncode == 1 and "health_failed" in done.stderr
    unchanged(upgrade, before)
    # The audit log has what the failed release wrote.
    assert (upgrade.data / "audit" / "log").read_text() == log + "selftest of 3.0\n"
    assert upgrade.install().returncode == 0


def test_a_first_installation_that_fails_leaves_nothing(bench: Bench) -> None:
    bench.bundle("1.0", 1, broken=True)
    assert bench.install().returncode == 1
    assert bench.footprint() == {}


def test_ctrl_c_goes_back(upgrade: Bench) -> None:
    before = upgrade.footprint()
    gate = upgrade.place / "gate"
    os.mkfifo(gate)
    stick = upgrade.bundle("2.5", 3, schema=2, out=upgrade.place / "slow", main=SLOW)
    command = ["sh", str(stick / "install.sh"), "--media", str(stick), "--user"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(upgrade.home)}
    with subprocess.Popen(
        command,
        env=env,
        cwd=upgrade.place,
        stderr=subprocess.PIPE,
        # Tests that run in the background have inherited that it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        with gate.open() as opened:  # the installer has switched over and waits
            pid = int(opened.readline())
        os.kill(pid, 2)
        assert process.wait(30) == 1
    unchanged(upgrade, before)


SLOW = b"""
import os, time
from pathlib import Path
from installer.host import cli, ledger

append = ledger.Ledger.append


def slow(self, name, **facts):
    append(self, name, **facts)
    if facts.get("phase") == "switch":
        with open(Path(os.environ["HOME"]).parent / "gate", "w") as gate:
            gate.write(f"{os.getpid()}\\n")
        time.sleep(60)


ledger.Ledger.append = slow
cli.main()
"""


def test_no_socket_beyond_the_host(upgrade: Bench) -> None:
    strace = need_tool("strace")
    trace = upgrade.place / "trace"
    traced = (strace, "-f", "-e", "trace=network", "-o", str(trace))
    assert upgrade.install(prefix=traced).returncode == 0
    assert inet(trace) == []
    # The control: a socket that is opened is seen.
    code = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    subprocess.run([*traced, "python3", "-c", code], check=True)
    assert len(inet(trace)) >= 2


def inet(trace: Path) -> list[str]:
    """System calls that make or use a socket of the internet's families."""
    return [line for line in trace.read_text().splitlines() if re.search(r"AF_INET|PF_INET", line)]


def test_a_noexec_or_readonly_place_is_refused(bench: Bench) -> None:
    bench.bundle("1.0", 1)
    for options, code in (("noexec", "mount_noexec"), ("ro", "mount_readonly")):
        place = bench.place / options
        with mounted(bench.place / f"{options}.img", place, 64, options):
            answers = bench.place / "answers.toml"
            answers.write_text(f'prefix = "{place}/p"\n')
            done = bench.install("--answers", str(answers))
            assert done.returncode == 1 and code in done.stderr, done.stderr
        assert bench.footprint() == {}


def test_a_readonly_noexec_stick_installs(bench: Bench) -> None:
    source = bench.bundle("1.0", 1)
    place = bench.place / "usb"
    with mounted(bench.place / "usb.img", place, 64, "noexec"):
        subprocess.run(["cp", "-r", f"{source}/.", place / "bundle"], check=True)
        subprocess.run(["mount", "-o", "remount,ro,noexec", place], check=True)
        done = bench.install(stick=place / "bundle")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kilobytes", [0, 30, 100, 200, 400])
def test_a_disk_that_fills_up_goes_back(upgrade: Bench, kilobytes: int) -> None:
    """The state directory is on a small disk, which is filled up to the last kilobytes."""
    place = upgrade.place / "disk"
    image = upgrade.place / "disk.img"
    with mounted(image, place, 4, "rw"):
        subprocess.run(["cp", "-a", f"{upgrade.state}/.", place], check=True)
        subprocess.run(["mount", "--bind", place, upgrade.state], check=True)
        try:
            before = upgrade.footprint()
            fill(upgrade.state, kilobytes)
            done = upgrade.install()
            if done.returncode != 0:
                assert "disk_full" in done.stderr or "No space" in done.stderr, done.stderr
                unchanged(upgrade, before)
            (upgrade.state / "filler").unlink()
            assert upgrade.install().returncode == 0
            assert upgrade.current == "2.0"
        finally:
            subprocess.run(["umount", "-l", upgrade.state], check=True)


def fill(place: Path, leave: int) -> None:
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize - (leave << 10)
    with (place / "filler").open("wb") as file, contextlib.suppress(OSError):
        while free > 0:
            free -= file.write(b"\0" * min(free, 1 << 16))
            file.flush()


@pytest.mark.slow
def test_killed_before_every_change_of_the_file_system(bench: Bench) -> None:
    """Every rename, removal and opened file of an upgrade is a point to be killed at."""
    bench.bundle("1.0", 1, main=KILLER)
    assert bench.install().returncode == 0
    bench.bundle("2.0", 2, schema=2, main=KILLER)
    subprocess.run(["cp", "-a", bench.home, bench.place / "saved"], check=True)
    before = bench.footprint()
    began, survived, point = time.monotonic(), 0, 1
    while time.monotonic() - began < 240:
        subprocess.run(["rm", "-rf", bench.home], check=True)
        subprocess.run(["cp", "-a", bench.place / "saved", bench.home], check=True)
        bench.kill("change", point)
        done = bench.install()
        (bench.home / "kill").unlink(missing_ok=True)
        if done.returncode == 0:
            break
        assert done.returncode == 137
        recovered = bench.installer("recover", "--boot")
        assert recovered.returncode == 0, (point, recovered.stderr)
        if bench.current == "1.0":
            unchanged(bench, before)
        assert bench.install().returncode == 0
        assert bench.current == "2.0" and bench.installer("check").returncode == 0
        survived += 1
        point += 3
    assert survived > 20
