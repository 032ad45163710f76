"""A confined process can only compute; the same attempts mostly work without the drop."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import attempts

SCRIPT = Path(attempts.__file__)
VICTIM = """
import ctypes, sys
secret = ctypes.create_string_buffer(b"secret")
print(ctypes.addressof(secret), flush=True)
sys.stdin.read()
"""
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Range:
    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        for name in ("victim", "victim2"):
            (scratch / name).write_text("x")
        self.victim = subprocess.Popen(
            [sys.executable, "-c", VICTIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.victim.stdout is not None
        self.address = int(self.victim.stdout.readline())
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0appliance-test-{os.getpid()}")
        self.path = socket.socket(socket.AF_UNIX)
        self.path.bind(str(scratch / "s"))
        self.unix, self.tcp = socket.socket(socket.AF_UNIX), socket.socket()
        self.writable = os.memfd_create("model", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.writable, 8192)
        fcntl.fcntl(self.writable, fcntl.F_ADD_SEALS, SEALS)
        self.model = os.open(f"/proc/self/fd/{self.writable}", os.O_RDONLY)
        for listener in (self.abstract, self.path):
            listener.listen()

    def run(self, mode: str, *cases: str) -> subprocess.CompletedProcess[str]:
        fds = {
            "unix": self.unix.fileno(),
            "tcp": self.tcp.fileno(),
            "writable": self.writable,
            "model": self.model,
        }
        facts = {
            **fds,
            "victim": self.victim.pid,
            "address": self.address,
            "port": self.listening.getsockname()[1],
            "abstract": f"appliance-test-{os.getpid()}",
            "path": str(self.scratch / "s"),
            "scratch": str(self.scratch),
        }
        return subprocess.run(
            [sys.executable, "-I", str(SCRIPT), mode, *cases],
            input=json.dumps(facts),
            capture_output=True,
            text=True,
            pass_fds=tuple(fds.values()),
            env={},
            timeout=60,
            check=False,
        )

    def results(self, mode: str, *cases: str) -> dict[str, str]:
        done = self.run(mode, *cases)
        assert done.returncode == 0, done.stderr
        answer: dict[str, str] = json.loads(done.stdout)
        return answer

    def close(self) -> None:
        self.victim.communicate("")
        for opened in (self.listening, self.abstract, self.path, self.unix, self.tcp):
            opened.close()
        os.close(self.writable)
        os.close(self.model)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Range]:
    made = Range(tmp_path)
    yield made
    made.close()


def test_every_attempt_is_refused_after_the_drop(target: Range) -> None:
    results = target.results("confined")
    assert len(results) > 55
    working = {name for name, result in results.items() if result == "works"}
    assert working == set(attempts.HARMLESS)
    assert {r for r in results.values() if r != "works"} <= {"EPERM", "EACCES", "ENOSYS", "EBADF"}
    assert (target.scratch / "victim").exists()


@pytest.mark.parametrize("case", attempts.DEADLY)
def test_the_worst_attempts_end_the_process(target: Range, case: str) -> None:
    assert target.run("confined", case).returncode == -signal.SIGSYS


def test_the_attempts_work_without_the_drop(target: Range) -> None:
    """The control."""
    results = target.results("free")
    working = {name for name, result in results.items() if result == "works"}
    assert len(working) > 38, sorted(set(results) - working)
    assert {
        "open a file",
        "open its own maps",
        "create a file",
        "unlink",
        "stat",
        "new TCP socket",
        "connect a given TCP socket",
        "connect to an abstract name",
        "connect to a path",
        "send a datagram",
        "fork",
        "clone a process",
        "execve",
        "signal another process",
        "map memory writable and executable",
        "make memory executable",
        "memfd_create",
        *attempts.HARMLESS,
    } <= working
    # Seals hold by themselves, whoever tries.
    assert {
        results[name]
        for name in ("write by a writable descriptor", "truncate it", "grow it", "seal it further")
    } == {"EPERM"}


def drop_in_a_child(before: str, keep: str = "{1, 2}") -> str:
    code = (
        "import os, threading\n"
        "from appliance.engine import confine\n"
        "from appliance.errors import StateRefused\n"
        "os.close(0)\n"
        f"{before}\n"
        "try:\n"
        f"    text = repr(confine.drop(1 << 30, {keep}))\n"
        "except StateRefused as error:\n"
        "    text = error.code + ': ' + error.message\n"
        "os.write(1, text.encode())\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_the_drop_reports_what_is_in_force() -> None:
    report = drop_in_a_child("")
    assert "'no_new_privs': True" in report and "'seccomp': True" in report
    assert "'landlock': " in report and "'mdwe': " in report


def test_a_second_thread_is_refused() -> None:
    started = "e = threading.Event(); threading.Thread(target=e.wait, daemon=True).start()"
    assert drop_in_a_child(started).startswith("confinement_failed: Before the drop: 2 threads")


def test_a_stray_descriptor_is_refused() -> None:
    report = drop_in_a_child("fd = os.open('/etc/passwd', os.O_RDONLY)")
    assert report.startswith("confinement_failed") and "/etc/passwd" in report


def test_a_kernel_without_seccomp_is_refused() -> None:
    """The call is made to fail by its number, as an old kernel would."""
    report = drop_in_a_child("confine._SYS_SECCOMP = 9999")
    assert report.startswith("confinement_failed: The worker cannot be confined")


def test_memory_beyond_the_limit_cannot_be_had() -> None:
    code = (
        "import os\n"
        "from appliance.engine import confine\n"
        "os.close(0)\n"
        "confine.drop(256 << 20, {1, 2})\n"
        "small = bytearray(64 << 20)\n"
        "try:\n"
        "    bytearray(3 << 30)\n"
        "except MemoryError:\n"
        "    os.write(1, b'refused')\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "refused"


def test_a_process_that_keeps_its_files_starts_no_program() -> None:
    code = (
        "import os, subprocess, threading; from appliance.engine import confine\n"
        "subprocess.run(['true'], check=True)\n"  # the control
        "confine.forbid_programs()\n"
        "for start in (os.fork, lambda: subprocess.run(['true']), lambda: os.posix_spawn("
        "'/bin/true', ['true'], {})):\n"
        "    try: start()\n"
        "    except OSError as error: print(error.errno)\n"
        "threading.Thread(target=lambda: print(open('/etc/hostname').name)).start()\n"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["1", "1", "1", "/etc/hostname"]
    code = "import os; from appliance.engine import confine; confine.forbid_programs()\n"
    run[2] = code + "os.execv('/bin/true', ['true'])"
    assert subprocess.run(run, capture_output=True, timeout=60, check=False).returncode == -31
