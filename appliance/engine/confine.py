"""Give up every right that a loaded inference worker does not need (Linux x86-64, libc only).

Rules: called once, after every import and with one thread; afterwards the process opens nothing,
has no network, cannot start a process or gain a privilege, and maps no new executable memory.
Without seccomp, no_new_privs or Landlock the drop fails; MDWE is used where the kernel has it
(6.3).
"""

import ctypes
import os
import resource
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.errors import StateRefused

PROFILE: Final = "cpu"
"""The profile without GPUs. With one more is allowed (`GPU_PROFILE`): docs/gpu.md."""
GPU_PROFILE: Final = "gpu"
LOW_PRIORITY: Final = 10
"""The nice value that a thread may give itself."""

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE = 4, 38, 65
_SYS_MPROTECT, _SYS_SECCOMP, _SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_RESTRICT = 10, 317, 444, 446
_SYS_LANDLOCK_ADD_RULE, _PATH_BENEATH = 445, 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 15
_AUDIT_ARCH_X86_64, _X32_BIT = 0xC000003E, 0x40000000
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD, _PROT_READ, _PROT_EXEC = 0x10000, 1, 4
_ARCH_REQ_XCOMP_PERM, _PR_SET_NAME = 0x1023, 15
_PRIO_PROCESS = 0
_SECCOMP_SET_MODE_FILTER, _TSYNC_AND_SPEC_ALLOW = 1, 1 | 4

# Seen with strace over load, decode and templates, and a few that libc or Python may use at any
# time. All else is refused.
_ALLOWED = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "munmap": 11, "brk": 12,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19,
    "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "setitimer": 38,
    "getpid": 39, "sendto": 44, "recvfrom": 45, "recvmsg": 47, "exit": 60, "getrusage": 98,
    "sysinfo": 99, "sigaltstack": 131, "gettid": 186, "futex": 202, "sched_getaffinity": 204,
    "restart_syscall": 219, "fadvise64": 221, "clock_gettime": 228, "clock_nanosleep": 230,
    "exit_group": 231, "set_robust_list": 273, "getrandom": 318, "membarrier": 324, "rseq": 334,
}  # fmt: skip
# What the NVIDIA driver's library is expected to call beside these: not seen here, where no GPU is.
# Which files can be opened is for Landlock to say.
_ALLOWED_WITH_GPU = {
    "open": 2, "stat": 4, "lstat": 6, "ioctl": 16, "access": 21, "mincore": 27, "uname": 63,
    "readlink": 89, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "mlock": 149,
    "munlock": 150, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239, "openat": 257,
    "newfstatat": 262, "eventfd2": 290, "pipe2": 293,
}  # fmt: skip
# A library that takes paths opens a descriptor by its name in /proc; Landlock refuses real files.
_ALLOWED_TO_REOPEN = {"writev": 20, "openat": 257, "newfstatat": 262}
_KILLED = {"execve": 59, "ptrace": 101, "bpf": 321, "execveat": 322}
_PROCESSES = {
    "fork": 57, "vfork": 58, "process_vm_readv": 310, "process_vm_writev": 311,
    "io_uring_setup": 425,
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True)
class GpuAccess:
    """Devices that a worker with GPUs may reach, and `start` of its driver."""

    devices: tuple[str, ...]
    start: Callable[[], None]


def drop(
    memory_bytes: int,
    keep: Collection[int],
    gpu: GpuAccess | None = None,
    *,
    writes: int = 0,
) -> dict[str, bool | int | str]:
    """Drop all rights, in the only order that works.

    Args:
        memory_bytes: address space that may be mapped beyond what is mapped now.
        keep: the descriptors that may be open besides /dev/null and the error pipe.
        gpu: None lets the worker reach no device.
        writes: bytes that a file may grow to. Above 0 it may also open, by their names in /proc,
            the files in memory that it has.

    Returns: the layers in force; `landlock` is its ABI.

    Raises:
        StateRefused: `confinement_failed` when a required layer is missing, or a thread or an open
            file exists that the layers would not cover.
    """
    try:
        _check_alone(keep)
        if gpu:
            return _drop_with_gpu(gpu)
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _set_limits(mapped + memory_bytes, writes)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_DUMPABLE, 0)
        mdwe = _forbid_writable_code()
        landlock = _landlock()
        _seccomp({**_ALLOWED, **_ALLOWED_TO_REOPEN} if writes else _ALLOWED)
    except OSError as error:
        raise StateRefused(
            "confinement_failed", f"The worker cannot be confined: {error}"
        ) from error
    return {
        "profile": PROFILE,
        "no_new_privs": True,
        "seccomp": True,
        "landlock": landlock,
        "mdwe": mdwe,
    }


def forbid_programs() -> None:
    """Give up starting programs and processes and reading other processes; all else stays."""
    try:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _install(_denying(_PROCESSES))
    except OSError as error:
        raise StateRefused(
            "confinement_failed", f"The process cannot be confined: {error}"
        ) from error


def _drop_with_gpu(gpu: GpuAccess) -> dict[str, bool | int | str]:
    """The same layers, in the order that a driver with threads of its own needs.

    No limit on the address space, of which CUDA reserves more than there is memory; no MDWE.
    """
    limits = {resource.RLIMIT_NOFILE: 256, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    for name, value in limits.items():
        resource.setrlimit(name, (value, value))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    landlock = _landlock(gpu.devices)
    gpu.start()
    _prctl(_PR_SET_DUMPABLE, 0)
    _seccomp({**_ALLOWED, **_ALLOWED_WITH_GPU})
    return {
        "profile": GPU_PROFILE,
        "no_new_privs": True,
        "seccomp": True,
        "landlock": landlock,
        "mdwe": False,
    }


def _check_alone(keep: Collection[int]) -> None:
    threads = len(list(Path("/proc/self/task").iterdir()))
    strays = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue  # the descriptor of this very listing
        if int(entry.name) not in keep and target != "/dev/null":
            strays.append(target)
    if threads != 1 or strays:
        raise StateRefused(
            "confinement_failed", f"Before the drop: {threads} threads, open files {strays}."
        )


def _call(number: int, *args: Any) -> int:
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise OSError(
            ctypes.get_errno(), f"system call {number}: {os.strerror(ctypes.get_errno())}"
        )
    return result


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, *(ctypes.c_ulong(v) for v in (value, 0, 0, 0))) < 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def _set_limits(address_space: int, file_bytes: int = 0) -> None:
    limits = {
        resource.RLIMIT_AS: address_space,
        resource.RLIMIT_NOFILE: 16,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for name, value in limits.items():
        resource.setrlimit(name, (value, value))


def _forbid_writable_code() -> bool:
    """Make the page of ctypes callbacks read-only, then ask for memory-deny-write-execute.

    After this no callback can be created or freed, so the worker leaves with `os._exit`.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions = line.split()[:2]
        if "w" in permissions and "x" in permissions:
            start, end = (int(part, 16) for part in span.split("-"))
            _call(_SYS_MPROTECT, start, end - start, _PROT_READ | _PROT_EXEC)
    try:
        _prctl(_PR_SET_MDWE, 1)
    except OSError:
        return False  # before Linux 6.3; seccomp refuses executable maps all the same
    return True


def _landlock(devices: Collection[str] = ()) -> int:
    """Enter a domain: no file but `devices`, no TCP, no signal or abstract socket outside it."""
    abi = _call(_SYS_LANDLOCK_CREATE, 0, 0, 1)
    filesystem = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    network = 3 if abi >= 4 else 0
    scoped = 3 if abi >= 6 else 0
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _call(
        _SYS_LANDLOCK_CREATE, struct.pack("=QQQ", filesystem, network, scoped)[:size], size, 0
    )
    device = _READ_FILE | _WRITE_FILE | (_IOCTL_DEV if abi >= 5 else 0)
    rules = dict.fromkeys(devices, device)
    if devices and Path("/proc/driver/nvidia").is_dir():
        rules["/proc/driver/nvidia"] = _READ_FILE | _READ_DIR
    for path, access in rules.items():
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", access, fd)
            _call(_SYS_LANDLOCK_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        finally:
            os.close(fd)
    _call(_SYS_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)
    return abi


def _op(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, k)


def _program(allowed: Mapping[str, int] = _ALLOWED) -> bytes:
    """The filter in classic BPF: allowed calls pass, some calls kill, all else is EPERM."""
    load, jump_eq, jump_ge, bit_and, ret = 0x20, 0x15, 0x35, 0x54, 0x06
    any_bits = 0xFFFFFFFF
    rules = [  # system call, argument, mask, accepted values; the frequent ones first
        (158, 0, any_bits, [_ARCH_REQ_XCOMP_PERM]),  # arch_prctl: AMX tiles, asked at every graph
        (56, 0, _CLONE_THREAD, [_CLONE_THREAD]),  # clone: threads, never processes
        (9, 2, _PROT_EXEC, [0]),  # mmap: nothing new becomes executable
        (10, 2, _PROT_EXEC, [0]),  # mprotect
        (
            72,
            1,
            any_bits,
            [1, 2, 3, 1030, 1034],
        ),  # fcntl: GETFD SETFD GETFL DUPFD_CLOEXEC GET_SEALS
        (157, 0, any_bits, [_PR_SET_NAME]),  # prctl
        (234, 0, any_bits, [os.getpid()]),  # tgkill: only itself (abort)
    ]
    code = [_op(load, 4), _op(jump_eq, _AUDIT_ARCH_X86_64, 1, 0), _op(ret, _KILL_PROCESS)]
    code += [_op(load, 0), _op(jump_ge, _X32_BIT, 0, 1), _op(ret, _KILL_PROCESS)]
    code += [
        _op(jump_eq, 435, 0, 1),
        _op(ret, _ERRNO | _ENOSYS),
    ]  # clone3: libc falls back to clone
    for number, argument, mask, values in rules:
        body = [_op(load, 16 + 8 * argument), _op(bit_and, mask)]
        for value in values:
            body += [_op(jump_eq, value, 0, 1), _op(ret, _ALLOW)]
        body.append(_op(ret, _ERRNO | _EPERM))
        code += [_op(jump_eq, number, 0, len(body)), *body]
    own = [_PRIO_PROCESS, 0, LOW_PRIORITY]  # setpriority: of the caller, and lower
    body = []
    for argument, value in enumerate(own):
        body += [_op(load, 16 + 8 * argument), _op(jump_eq, value, 1, 0)]
        body.append(_op(ret, _ERRNO | _EPERM))
    code += [_op(jump_eq, 141, 0, len(body) + 1), *body, _op(ret, _ALLOW)]
    for number in allowed.values():
        code += [_op(jump_eq, number, 0, 1), _op(ret, _ALLOW)]
    for number in _KILLED.values():
        code += [_op(jump_eq, number, 0, 1), _op(ret, _KILL_PROCESS)]
    return b"".join([*code, _op(ret, _ERRNO | _EPERM)])


def _denying(refused: Mapping[str, int]) -> bytes:
    """The filter of a process that may do most: these calls are EPERM, programs kill."""
    load, jump_eq, jump_ge, jump_set, ret = 0x20, 0x15, 0x35, 0x45, 0x06
    code = [_op(load, 4), _op(jump_eq, _AUDIT_ARCH_X86_64, 1, 0), _op(ret, _KILL_PROCESS)]
    code += [_op(load, 0), _op(jump_ge, _X32_BIT, 0, 1), _op(ret, _KILL_PROCESS)]
    answers = [*((n, _KILL_PROCESS) for n in _KILLED.values()), (435, _ERRNO | _ENOSYS)]
    for number, answer in [*answers, *((n, _ERRNO | _EPERM) for n in refused.values())]:
        code += [_op(jump_eq, number, 0, 1), _op(ret, answer)]
    code += [_op(jump_eq, 56, 0, 3), _op(load, 16), _op(jump_set, _CLONE_THREAD, 1, 0)]
    return b"".join([*code, _op(ret, _ERRNO | _EPERM), _op(ret, _ALLOW)])


def _seccomp(allowed: Mapping[str, int] = _ALLOWED) -> None:
    _install(_program(allowed))


def _install(code: bytes) -> None:
    program = ctypes.create_string_buffer(code)
    header = struct.pack("=HxxxxxxQ", (len(program) - 1) // 8, ctypes.addressof(program))
    thread = _call(_SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, _TSYNC_AND_SPEC_ALLOW, header)
    if thread:
        raise OSError(0, f"thread {thread} did not take the filter")
