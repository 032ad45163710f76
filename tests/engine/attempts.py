"""Everything that a confined worker must not be able to do, tried from inside.

usage: python -I attempts.py free|confined CASE... < FACTS   (JSON; prints JSON: case -> result)
A result is "works" or the name of an errno. Without cases, all but the deadly ones are tried.
Linux x86-64: the calls are made by number, so that no library can soften them.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.engine import confine

SYS = {
    "write": 1, "mprotect": 10, "pwrite64": 18, "access": 21, "socket": 41, "connect": 42,
    "sendto": 44, "sendmsg": 46, "bind": 49, "socketpair": 53, "clone": 56, "fork": 57,
    "execve": 59, "kill": 62, "fcntl": 72, "ftruncate": 77, "chdir": 80, "mkdir": 83,
    "unlink": 87, "symlink": 88, "readlink": 89, "chmod": 90, "fchmod": 91, "ptrace": 101,
    "setuid": 105, "setpriority": 141, "prctl": 157, "setrlimit": 160, "mount": 165,
    "tgkill": 234, "add_key": 248, "keyctl": 250, "openat": 257, "newfstatat": 262,
    "unshare": 272, "fallocate": 285, "perf_event_open": 298, "prlimit64": 302,
    "open_by_handle_at": 304, "process_vm_readv": 310, "memfd_create": 319, "bpf": 321,
    "execveat": 322, "userfaultfd": 323, "statx": 332, "io_uring_setup": 425,
    "pidfd_open": 434, "clone3": 435, "openat2": 437,
}  # fmt: skip
AT_FDCWD, ALONE = -100, 0x22  # MAP_PRIVATE | MAP_ANONYMOUS
NULL = ctypes.c_void_p(None)
DEADLY = ("execve", "execveat a memfd", "ptrace another process", "bpf")
HARMLESS = ("start a thread", "map a memfd private and writable", "lower its own priority")

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


@dataclass(frozen=True)
class Facts:
    """What the parent set up: descriptors, another process, addresses to connect to."""

    unix: int  # an unconnected Unix socket
    tcp: int  # an unconnected TCP socket
    writable: int  # a sealed memfd, opened before it was sealed
    model: int  # the same, read-only
    victim: int  # pid of another process of the same user
    address: int  # of readable memory there
    port: int  # where somebody listens
    abstract: str  # name of an abstract Unix socket on which somebody listens
    path: str  # path of a Unix socket on which somebody listens
    scratch: str  # a directory with the files "victim" and "victim2"


def call(name: str, *arguments: Any) -> int:
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    result = int(libc.syscall(ctypes.c_long(SYS[name]), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def opened(path: bytes, flags: int) -> None:
    os.close(call("openat", AT_FDCWD, path, flags, 0o600))


def new_process(name: str, *arguments: Any) -> None:
    """A call that returns 0 in a new process: end that one at once."""
    pid = call(name, *arguments)
    if pid == 0:
        libc._exit(0)
    os.waitpid(pid, 0)


def in_a_child(name: str, *arguments: Any) -> None:
    """A call that changes the process when it works: made in a child where one can be had."""
    pid = libc.fork()
    if pid < 0:
        call(name, *arguments)
        return
    if pid == 0:
        try:
            call(name, *arguments)
            libc._exit(0)
        except OSError as error:
            libc._exit(error.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, name)


def mapped(fd: int, protection: int, flags: int) -> int:
    address = libc.mmap(None, 4096, protection, flags, fd, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    return int(address)


def connect(fd: int, name: bytes) -> None:
    address = struct.pack("=H", socket.AF_UNIX) + name
    call("connect", fd, ctypes.create_string_buffer(address), len(address))


def inet(port: int) -> Any:
    loopback = (
        struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + b"\x7f\0\0\1" + bytes(8)
    )
    return ctypes.create_string_buffer(loopback)


def datagram() -> None:
    fd = call("socket", socket.AF_INET, socket.SOCK_DGRAM, 0)
    call("sendto", fd, b"x", 1, 0, inet(9), 16)


def peek(pid: int, address: int) -> None:
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("=QQ", ctypes.addressof(buffer), 8)
    call("process_vm_readv", pid, local, 1, struct.pack("=QQ", address, 8), 1, 0)


def trace(pid: int) -> None:
    seize, interrupt, detach, wait_all = 0x4206, 0x4207, 17, 0x40000000
    call("ptrace", seize, pid, 0, 0)
    call("ptrace", interrupt, pid, 0, 0)
    os.waitpid(pid, wait_all)
    call("ptrace", detach, pid, 0, 0)


def start_thread() -> None:
    worker = threading.Thread(target=int)
    worker.start()
    worker.join()


def cases(f: Facts) -> dict[str, Callable[[], object]]:
    text, scratch = ctypes.create_string_buffer, f.scratch.encode()
    program, nothing = b"/bin/true", (ctypes.c_char_p * 1)(None)
    arguments = (ctypes.c_char_p * 2)(program, None)
    me, procfd = __file__.encode(), b"/proc/self/fd/%d" % f.model
    clone3 = struct.pack("=11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    read_only, read_write, shared, private = 1, 3, 1, 2
    return {
        "start a thread": start_thread,
        "map a memfd private and writable": lambda: mapped(f.model, read_write, private),
        # files
        "open a file": lambda: opened(b"/etc/passwd", os.O_RDONLY),
        "open its own source": lambda: opened(me, os.O_RDONLY),
        "open its own maps": lambda: opened(b"/proc/self/maps", os.O_RDONLY),
        "open memory of another": lambda: opened(b"/proc/%d/mem" % f.victim, os.O_RDONLY),
        "open a directory": lambda: opened(b"/", os.O_RDONLY | os.O_DIRECTORY),
        "open a path only": lambda: opened(b"/etc", os.O_PATH),
        "openat2": lambda: call("openat2", AT_FDCWD, b"/etc/passwd", bytes(24), 24),
        "create a file": lambda: opened(scratch + b"/new", os.O_CREAT | os.O_WRONLY),
        "stat": lambda: call("newfstatat", AT_FDCWD, b"/etc/passwd", text(256), 0),
        "statx": lambda: call("statx", AT_FDCWD, b"/etc/passwd", 0, 0xFFF, text(256)),
        "access": lambda: call("access", b"/etc/passwd", 0),
        "readlink": lambda: call("readlink", b"/proc/self/exe", text(256), 256),
        "chdir": lambda: call("chdir", b"/"),
        "mkdir": lambda: call("mkdir", scratch + b"/d", 0o700),
        "unlink": lambda: call("unlink", scratch + b"/victim"),
        "chmod": lambda: call("chmod", scratch + b"/victim2", 0o600),
        "symlink": lambda: call("symlink", b"/etc", scratch + b"/l"),
        # network
        "new TCP socket": lambda: os.close(call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)),
        "new Unix socket": lambda: os.close(call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0)),
        "new netlink socket": lambda: os.close(call("socket", 16, socket.SOCK_RAW, 0)),
        "socketpair": lambda: call("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, text(8)),
        "bind a given TCP socket": lambda: call("bind", f.tcp, inet(0), 16),
        "connect a given TCP socket": lambda: call("connect", f.tcp, inet(f.port), 16),
        "send a datagram": datagram,
        "connect to an abstract name": lambda: connect(f.unix, b"\0" + f.abstract.encode()),
        "connect to a path": lambda: connect(
            call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0), f.path.encode() + b"\0"
        ),
        "sendmsg, which passes descriptors": lambda: call("sendmsg", 1, text(56), 0),
        # processes
        "fork": lambda: new_process("fork"),
        "clone a process": lambda: new_process("clone", signal.SIGCHLD, 0, 0, 0, 0),
        "clone3 a process": lambda: new_process("clone3", clone3, len(clone3)),
        "execve": lambda: in_a_child("execve", program, arguments, nothing),
        "execveat a memfd": lambda: in_a_child(
            "execveat", f.model, b"", arguments, nothing, 0x1000
        ),
        "new user namespace": lambda: in_a_child("unshare", 0x10000000),
        "ptrace another process": lambda: trace(f.victim),
        "read memory of another process": lambda: peek(f.victim, f.address),
        "pidfd_open": lambda: os.close(call("pidfd_open", f.victim, 0)),
        "probe another process by signal 0": lambda: call("kill", f.victim, 0),
        "signal another process": lambda: call("kill", f.victim, signal.SIGCONT),
        "signal a thread of another": lambda: call("tgkill", f.victim, f.victim, signal.SIGCONT),
        "limits of another process": lambda: call("prlimit64", f.victim, 7, NULL, text(16)),
        "lower its own priority": lambda: call("setpriority", 0, 0, confine.LOW_PRIORITY),
        "lower its own priority further": lambda: call("setpriority", 0, 0, 19),
        "priority of another process": lambda: call("setpriority", 0, f.victim, 19),
        # the sealed model
        "write to it": lambda: call("write", f.model, b"x", 1),
        "reopen it for writing": lambda: os.close(call("openat", AT_FDCWD, procfd, os.O_RDWR, 0)),
        "write by a writable descriptor": lambda: call("pwrite64", f.writable, b"x", 1, 0),
        "truncate it": lambda: call("ftruncate", f.writable, 0),
        "grow it": lambda: call("ftruncate", f.writable, 1 << 40),
        "punch a hole into it": lambda: call("fallocate", f.writable, 3, 0, 4096),
        "map it shared and writable": lambda: mapped(f.writable, read_write, shared),
        "map it shared, then mprotect": lambda: call(
            "mprotect", mapped(f.writable, read_only, shared), 4096, read_write
        ),
        "map it executable": lambda: mapped(f.model, 5, private),
        "seal it further": lambda: call("fcntl", f.writable, 1033, 0x10),
        "make it executable": lambda: call("fchmod", f.model, 0o777),
        # code and kernel
        "map memory writable and executable": lambda: mapped(-1, 7, ALONE),
        "make memory executable": lambda: call("mprotect", mapped(-1, 3, ALONE), 4096, 5),
        "memfd_create": lambda: os.close(call("memfd_create", b"x", 1)),
        "become dumpable": lambda: call("prctl", 4, 1, 0, 0, 0),
        "raise a limit": lambda: call("setrlimit", 7, struct.pack("=QQ", 4096, 4096)),
        "io_uring": lambda: os.close(call("io_uring_setup", 4, text(120))),
        "bpf": lambda: call("bpf", 0, text(128), 128),
        "keyctl": lambda: call("keyctl", 0, -3, 0),
        "add_key": lambda: call("add_key", b"user", b"k", b"v", 1, -2),
        "userfaultfd": lambda: os.close(call("userfaultfd", 1)),
        "perf_event_open": lambda: call("perf_event_open", text(128), 0, -1, -1, 0),
        "mount": lambda: in_a_child("mount", b"none", b"/nonexistent", b"tmpfs", 0, NULL),
        "open_by_handle_at": lambda: call("open_by_handle_at", AT_FDCWD, text(64), 0),
        "setuid": lambda: in_a_child("setuid", os.getuid() + 1),
    }  # fmt: skip


def attempt(case: Callable[[], object]) -> str:
    try:
        case()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    except RuntimeError as error:  # a thread that cannot start
        return str(error)
    return "works"


def main(mode: str, names: list[str]) -> None:
    facts = Facts(**json.load(sys.stdin))
    sys.stdin.close()
    table = cases(facts)
    names = names or [n for n in table if mode == "free" or n not in DEADLY]
    if mode == "confined":
        os.close(0)
        keep = {1, 2, facts.unix, facts.tcp, facts.writable, facts.model}
        confine.drop(1 << 30, keep)
    results = {name: attempt(table[name]) for name in names}
    os.write(1, json.dumps(results).encode())
    os._exit(0)  # as the worker does: an orderly exit would touch callbacks


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
