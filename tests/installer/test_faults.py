"""Faults around the small bundle: hostile surroundings, two at once, a bad release, kills.

Each ends in "nothing changed" or "completed". Faults of the stick are in host/test_commands.py and
test_stick.py, of disks in test_disks.py, kills at each line of the ledger in host/test_install.py.
"""

import fcntl
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import need_tool
from tests.installer.bench import AFTER_A_LINE, Bench
from tests.installer.conftest import Note, unchanged

WAIT = """
import time

def after(phase):
    if phase == "switch":
        with open(Path(os.environ["HOME"]).parent / "gate", "w") as gate:
            gate.write(f"{os.getpid()}\\n")
        time.sleep(60)
"""
CLOCK = """
import time

now = time.gmtime({seconds})
time.time = lambda: time.mktime(now)
time.gmtime = lambda *_: now
"""


def test_hostile_surroundings_change_nothing(fresh: Bench) -> None:
    bench = fresh
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
    assert bench.is_whole()


def test_a_restrictive_mask_completes(fresh: Bench) -> None:
    done = fresh.install(prefix=("sh", "-c", 'umask 077; exec "$@"', "sh"))
    assert done.returncode == 0, done.stderr
    assert fresh.is_whole()


@pytest.mark.parametrize("year", [1970, 2037])
def test_a_wrong_clock_is_a_note_and_completes(fresh: Bench, year: int) -> None:
    fresh.hook(CLOCK.format(seconds=(year - 1970) * 31_557_600 + 86_400))
    done = fresh.install()
    assert done.returncode == 0, done.stderr
    assert f"The clock says {year}" in done.stderr


def test_a_port_that_is_taken(fresh: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers = fresh.place / "answers.toml"
        answers.write_text(f"port = {server.getsockname()[1]}\n")
        done = fresh.install("--answers", str(answers))
        assert done.returncode == 1 and "port_taken" in done.stderr
        assert fresh.footprint() == {}
    assert fresh.install("--answers", str(answers)).returncode == 0


def test_again_after_it_succeeded(upgrade: Bench) -> None:
    assert upgrade.install().returncode == 0
    before = upgrade.footprint()
    done = upgrade.install()
    assert done.returncode == 0, done.stderr
    assert "from the stick  " not in done.stderr  # every copy is there already
    unchanged(upgrade, before)
    assert upgrade.told("status")["before"] == "1.0"


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
    kept = (upgrade.state / "installer.log").read_text()
    assert "[11/12] Checking" in kept and "health_failed: " in kept and "broken on purpose" in kept
    # The audit log has what the failed release wrote.
    assert (upgrade.data / "audit" / "log").read_text() == log + "selftest of 3.0\n"
    assert upgrade.install().returncode == 0


def test_a_first_installation_that_fails_leaves_nothing(bench: Bench) -> None:
    bench.bundle("1.0", 1, broken=True)
    assert bench.install().returncode == 1
    assert bench.footprint() == {}


def test_ctrl_c_goes_back(upgrade: Bench) -> None:
    before = upgrade.footprint()
    os.mkfifo(upgrade.place / "gate")
    upgrade.hook(WAIT + AFTER_A_LINE)
    command = ["sh", str(upgrade.stick / "install.sh"), "--media", str(upgrade.stick), "--user"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(upgrade.home)}
    with subprocess.Popen(
        command,
        env=env,
        cwd=upgrade.place,
        stderr=subprocess.PIPE,
        # Tests that run in the background have inherited that it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        with (upgrade.place / "gate").open() as opened:  # it has switched over and waits
            pid = int(opened.readline())
        os.kill(pid, 2)
        assert process.wait(30) == 1
    unchanged(upgrade, before)


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
    return [line for line in trace.read_text().splitlines() if re.search(r"AF_INET|PF_INET", line)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", [1, 2, 3])
def test_killed_before_every_change_of_the_file_system(
    upgrade: Bench, note: Note, first: int
) -> None:
    """At every rename, removal and opened file of an upgrade; each of the three cases takes every
    third.
    """
    saved = upgrade.place / "before"
    subprocess.run(["cp", "-a", upgrade.home, saved], check=True)
    before = upgrade.footprint()
    survived, point = 0, first
    while True:
        subprocess.run(["rm", "-rf", upgrade.home], check=True)
        subprocess.run(["cp", "-a", saved, upgrade.home], check=True)
        upgrade.kill("change", point)
        done = upgrade.install()
        upgrade.unhook()
        if done.returncode == 0:
            break
        assert done.returncode == 137
        recovered = upgrade.installer("recover", "--boot")
        assert recovered.returncode == 0, (point, recovered.stderr)
        if upgrade.current == "1.0":
            unchanged(upgrade, before)
        assert upgrade.install().returncode == 0
        assert upgrade.current == "2.0" and upgrade.is_whole()
        survived += 1
        point += 3
    note("points of an upgrade at which it was killed", survived)
    assert survived > 20
