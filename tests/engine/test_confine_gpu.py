"""The profile for GPUs opens the devices that it is told and nothing else; without it, none."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import errno, fcntl, json, mmap, os, signal, socket, sys
from appliance.engine import confine
found = {}
def attempt(name, do):
    try:
        do()
        found[name] = "works"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
def opened(path, flags=os.O_RDWR):
    os.close(os.open(path, flags))
def mapped(**kinds):
    mmap.mmap(-1, 4096, **kinds).close()
def ioctl():
    fd = os.open("/dev/zero", os.O_RDWR)
    fcntl.ioctl(fd, 0x5401)
started = []
gpu = confine.GpuAccess(("/dev/zero",), lambda: started.append(open("/dev/zero").close()))
done = confine.drop(1 << 32, {0, 1, 2}, gpu if sys.argv[1] == "gpu" else None)
attempt("the device", lambda: opened("/dev/zero"))
attempt("ioctl on the device", ioctl)
attempt("another device", lambda: opened("/dev/full"))
attempt("a file", lambda: opened("/etc/passwd", os.O_RDONLY))
attempt("a directory", lambda: os.listdir("/dev"))
attempt("a new file", lambda: opened("/tmp/x", os.O_CREAT | os.O_WRONLY))
attempt("a socket", lambda: socket.socket())
attempt("executable memory", lambda: mapped(prot=mmap.PROT_READ | mmap.PROT_EXEC))
attempt("a process", os.fork)
attempt("a signal", lambda: os.kill(os.getppid(), 0))
print(json.dumps([done, len(started), found]), flush=True)
if len(sys.argv) > 2:
    os.execv("/bin/true", ["true"])
os._exit(0)
"""


def run(profile: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, profile, *more],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_only_the_devices_can_be_opened() -> None:
    process = run("gpu")
    assert process.returncode == 0, process.stderr
    done, started, found = json.loads(process.stdout)
    assert (done["profile"], done["seccomp"], started) == ("gpu", True, 1)
    assert done["landlock"] >= 1
    assert found.pop("the device") == "works"
    assert found.pop("ioctl on the device") == "ENOTTY"
    assert found.pop("another device") == "EACCES"
    assert found.pop("a file") == "EACCES"
    assert set(found.values()) <= {"EACCES", "EPERM"}


def test_without_a_gpu_no_device_can_be_opened() -> None:
    done, started, found = json.loads(run("cpu").stdout)
    assert (done["profile"], started) == ("cpu", 0)
    assert set(found.values()) == {"EPERM"}


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_starting_a_program_ends_it(profile: str) -> None:
    assert run(profile, "exec").returncode == -31  # SIGSYS
