"""Programs of the product, forked from a process that has imported them: a start costs a tenth.

`subprocess` asks the process to fork in place of executing Python anew. The child is a child of the
asking process (clone with CLONE_PARENT), has the descriptors, environment, directory, limits and
priority that it would have, runs its module as `__main__` and ends as Python does. A server forks
its workers in the same way, from a process that was made before the server did anything.

The programs of a test marked `executed`, and those that are no modules of the product under this
checkout, are executed; of the tests' own, `_OF_TESTS` and texts that begin with `FORKED` are not.
"""

import ast
import atexit
import contextlib
import ctypes
import fcntl
import functools
import gc
import importlib
import io
import os
import pickle
import pkgutil
import resource
import runpy
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance import cli
from appliance.workers import cpu_variants

CHECKOUT: Final = Path(__file__).parents[1]
_CONFINED: Final = (
    "appliance.audit.verification.lookahead",
    "appliance.engine.worker",
    "appliance.retrieval.reader",
    "appliance.workers.cpu_variants",
)
_OF_TESTS: Final = (
    "tests.audit.appender",
    "tests.batches.killed",
    "tests.routing.killed",
    "tests.routing.upstreams.engine",
    "tests.system.ingest_kills",
    "tests.system.version_kills",
)
FORKED: Final = "# forked\n"
"""The first line of a text for `-c` that needs no process which has imported nothing."""
_BEGAN: Final = dict(os.environb)
_AT_START: Final = (b"GLIBC_", b"LANG", b"LC_", b"LD_", b"MALLOC_", b"OMP_", b"PYTHON")
"""Of the environment, what counts only when a program is executed."""
_LIMITS: Final = tuple({n for name, n in vars(resource).items() if name.startswith("RLIMIT_")})
_CLONE_PARENT, _CLONE_CHILD_SETTID, _SYS_CLONE = 0x8000, 0x01000000, 56
_MOST = 1 << 18  # bytes of an order
_PYTHON: Final = sys.executable  # a test may set another one
_MAIN: Final = "import sys; from tests.forked import main; main(int(sys.argv[1]))"
_ROOM: Final = 2_000
"""Bytes for the command line of a fork, as other processes see it."""


@dataclass(frozen=True)
class Order:
    """A program to run.

    Attributes:
        flags: of Python, before `-m`.
        module: "" where the first of the words is a text, as after `-c`.
        targets: the numbers of the descriptors that come with the order.
        limits: soft and hard, in the order of `_LIMITS`.
    """

    flags: tuple[str, ...]
    module: str
    words: tuple[str, ...]
    environment: dict[bytes, bytes]
    directory: str
    targets: tuple[int, ...]
    session: bool
    mask: int
    nice: int
    limits: tuple[tuple[int, int], ...]


class Forks:
    """The end that asks."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def run(self, order: Order, descriptors: Sequence[int]) -> int:
        """The process id of a new child of this process."""
        with self._lock:
            socket.send_fds(self._connection, [pickle.dumps(order)], list(descriptors))
            answer = self._connection.recv(4)
        if not answer:
            raise RuntimeError("the process that forks has ended: python -m tests.forked says why")
        return int(struct.unpack("i", answer)[0])


_TYPED: Final = f"""\
#!{_PYTHON} -ISE
import os, socket, sys
mask = os.umask(0o077)
asks = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asks.connect(os.path.dirname(os.path.abspath(__file__)) + "/socket")
typed = (sys.argv[1:], dict(os.environb), os.getcwd(), mask)
socket.send_fds(asks, [repr(typed).encode()], [0, 1, 2])
sys.exit(int(asks.recv(9) or b"1"))
"""


class Typed:
    """A directory with the command `appliance`, for shells: this process starts it for them.

    The shell waits for a small program that brings its arguments and descriptors here, and no
    signal.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        command = directory / "appliance"
        command.write_text(_TYPED)
        command.chmod(0o755)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(directory / "socket"))
        self._listener.listen()
        self._thread = threading.Thread(target=self._take, name="typed")
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _take(self) -> None:
        with contextlib.suppress(OSError):  # it was shut down
            while True:
                asks, _address = self._listener.accept()
                threading.Thread(target=self._run, args=[asks]).start()

    def _run(self, asks: socket.socket) -> None:
        with asks:
            message, descriptors, _flags, _address = socket.recv_fds(asks, _MOST, 3)
            words, environment, directory, mask = ast.literal_eval(message.decode())
            stdin, stdout, stderr = descriptors
            process = subprocess.Popen(
                [_PYTHON, "-m", "appliance", *words],
                stdin=stdin, stdout=stdout, stderr=stderr, env=environment, cwd=directory,
                umask=mask,
            )  # fmt: skip
            for each in descriptors:
                os.close(each)
            status = process.wait()
            asks.send(b"%d" % (status if status >= 0 else 128 - status))


class Forking:
    """Stands in place of `subprocess._fork_exec`; forks while `wanted`."""

    def __init__(self) -> None:
        self.wanted = True
        self.forks: Forks | None = None
        self._ends: tuple[socket.socket, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._typed: Typed | None = None
        self._lock = threading.Lock()

    def install(self, forks: Forks | None = None) -> None:
        """Let `subprocess` ask here.

        Args:
            forks: in a program that was forked itself; others start the process that forks when
                they first need it. Its descriptors are open from now on: tests count them.
        """
        if forks is None:
            self._ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            forks = Forks(self._ends[0])
        self.forks = forks
        self._executed: Callable[..., int] = subprocess._fork_exec  # type: ignore[attr-defined]
        subprocess._fork_exec = self  # type: ignore[attr-defined]

    def __call__(self, *given: Any) -> int:
        """Fork what can be forked, and execute the rest."""
        asked = _order(given) if self.wanted else None
        if asked is None or self.forks is None:
            return self._executed(*given)
        with self._lock:
            if self._ends and self._process is None:
                self._process = self._started(self._ends[1].fileno())
                # That end is the process's alone: where it dies, `run` is told so.
                os.dup2(self._ends[0].fileno(), self._ends[1].fileno())
        return self.forks.run(*asked)

    def typed(self) -> Path:
        if self._typed is None:
            self._typed = Typed(Path(tempfile.mkdtemp(prefix="typed-")))
        return self._typed.directory

    def close(self) -> None:
        if self._typed is not None:
            self._typed.close()
            shutil.rmtree(self._typed.directory)
        for end in self._ends:
            end.close()
        if self._process is not None:
            self._process.wait()

    def _started(self, connection: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [_PYTHON, "-c", _MAIN, str(connection), "x" * _ROOM],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=CHECKOUT,
            pass_fds=[connection],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )


FORKING: Final = Forking()
_asked = cpu_variants._child
_asked_once = functools.cache(_asked)


def _of_this_processor(*arguments: str) -> str | None:
    """A library's first answer about this processor."""
    return _asked_once(*arguments) if FORKING.wanted else _asked(*arguments)


cpu_variants._child = _of_this_processor


def _order(given: tuple[Any, ...]) -> tuple[Order, list[int]] | None:
    (
        args, _programs, close_fds, keep, cwd, env, stdin, _w, _r, stdout, _er, stderr, _e, errors,
        _restore, session, group, gid, gids, uid, mask, prepare, *_vfork,
    ) = given  # fmt: skip
    words = [os.fsdecode(word) for word in args]
    at = next((n for n, word in enumerate(words) if word in ("-m", "-c")), 0)
    if words[0] != _PYTHON or not at or prepare is not None or not close_fds:
        return None
    if (group, gid, gids, uid) != (-1, None, None, None):
        return None
    text = words[at] == "-c"
    if text and not words[at + 1].startswith(FORKED):
        return None
    pairs = dict(os.environb if env is None else (line.split(b"=", 1) for line in env))
    directory = str(Path.cwd()) if cwd is None else os.fsdecode(cwd)
    module = "" if text else words[at + 1]
    if not _ours(words[1:at], module, directory, pairs):
        return None
    standard = {to: to if fd == -1 else fd for to, fd in enumerate((stdin, stdout, stderr))}
    descriptors = standard | {fd: fd for fd in keep if fd != errors and fd > 2}
    order = Order(
        flags=tuple(words[1:at]),
        module=module,
        words=tuple(words[at + 1 if text else at + 2 :]),
        environment=pairs,
        directory=directory,
        targets=tuple(descriptors),
        session=session,
        mask=mask if mask >= 0 else int(_status("Umask"), 8),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        limits=tuple(resource.getrlimit(number) for number in _LIMITS),
    )
    return order, list(descriptors.values())


def _ours(
    flags: Sequence[str], module: str, directory: str, environment: Mapping[bytes, bytes]
) -> bool:
    """A fork of what this checkout imports is the same program."""
    here = Path(directory)
    return (
        module in ("", "appliance", *_CONFINED, *_OF_TESTS)
        and set(flags) <= {"-I", "-u", "-W", "ignore"}
        and here.is_dir()
        and (here == CHECKOUT or not (here / "appliance").exists())
        and not any(
            name.startswith(_AT_START) and value not in (_BEGAN.get(name), b"C.UTF-8")
            for name, value in environment.items()
        )
    )


def _status(field: str) -> str:
    text = Path("/proc/self/status").read_text()
    return text.partition(f"{field}:")[2].split()[0]


def _clone() -> int:
    """Fork a child of this process's parent, as `os.fork` does for one of its own."""
    api, libc = ctypes.pythonapi, ctypes.PyDLL(None)
    libc.pthread_self.restype = ctypes.c_void_p
    record = libc.pthread_self()  # of glibc, which has the thread's number in it
    numbers = list((ctypes.c_int * 256).from_address(record))
    own = record + 4 * numbers.index(threading.get_native_id())
    api.PyOS_BeforeFork()
    flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | signal.SIGCHLD
    pid = libc.syscall(_SYS_CLONE, *map(ctypes.c_long, (flags, 0, 0, own, 0)))
    if pid == 0:
        api.PyOS_AfterFork_Child()
    else:
        api.PyOS_AfterFork_Parent()
    return int(pid)


def _next(connection: socket.socket) -> tuple[Order, list[int]]:
    """Fork for each order that comes; returns in the forks, and ends with the connection."""
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(connection, _MOST, 250)
        if not message:
            os._exit(0)
        pid = _clone()
        if pid == 0:
            connection.close()
            return pickle.loads(message), descriptors
        for each in descriptors:
            os.close(each)
        connection.send(struct.pack("i", pid))


def _become(order: Order, descriptors: Sequence[int], kept: int) -> None:
    """Take over the program's surroundings."""
    above = max(order.targets) + 1
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, above) for each in descriptors]
    for each, target in zip(moved, order.targets, strict=True):
        os.dup2(each, target)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) not in (*order.targets, kept):
            with contextlib.suppress(OSError):  # the list's own
                os.close(int(name))
    if order.session:
        os.setsid()
    os.umask(order.mask)
    os.chdir(order.directory)
    os.setpriority(os.PRIO_PROCESS, 0, order.nice)
    for number, (soft, hard) in zip(_LIMITS, order.limits, strict=True):
        resource.setrlimit(number, (soft, hard))
    os.environ.clear()
    os.environb.update(order.environment)


def _show(order: Order) -> None:
    begin, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    given = ("-m", order.module) if order.module else ("-c",)
    words = (_PYTHON, *order.flags, *given, *order.words)
    line = b"".join(os.fsencode(word) + b"\0" for word in words)
    ctypes.memmove(begin, line[: end - begin].ljust(end - begin, b"\0"), end - begin)


def _as_python_begins(order: Order) -> None:
    """Set what `python` makes of its arguments and of the standard descriptors."""
    sys.argv = ["-m", *order.words] if order.module else ["-c", *order.words[1:]]
    sys.path[:] = [path for path in sys.path if path]
    if "-I" not in order.flags:
        sys.path.insert(0, order.directory)
    if "-W" in order.flags:
        warnings.simplefilter("ignore")
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            open(number, "wb", closefd=False),  # noqa: SIM115
            encoding="utf-8",
            errors=errors,
            line_buffering=number == 2 or os.isatty(number),
            write_through="-u" in order.flags,
        )
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )


def main(number: int) -> None:
    """Import the product, fork for each order, and be the program in each fork.

    Args:
        number: of the descriptor that brings the orders; below 0 there are none.
    """
    gc.disable()
    for module in pkgutil.iter_modules(cli.__path__):
        importlib.import_module(f"appliance.cli.{module.name}")
    for name in (*_CONFINED, "appliance.server.serve"):
        importlib.import_module(name)
    cpu_variants.find_variant(cpu_variants.library_directory())
    gc.collect()
    gc.freeze()
    gc.enable()
    if number < 0:
        return
    order, descriptors = _next(socket.socket(fileno=number))
    kept = -1
    while order.module not in _CONFINED:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork():
            theirs.close()
            kept = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 500)
            FORKING.install(Forks(socket.socket(fileno=kept)))
            break
        ours.close()
        for each in descriptors:
            os.close(each)
        order, descriptors = _next(theirs)
    _become(order, descriptors, kept)
    _show(order)
    _as_python_begins(order)
    _run(order)


def _run(order: Order) -> None:
    """Run a program and end, without clearing what is shared with the process that forks."""
    status = 0
    try:
        if order.module:
            runpy._run_module_as_main(order.module)  # type: ignore[attr-defined]
        else:
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(order.words[0], "<string>", "exec"), vars(main))
    except SystemExit as end:
        if isinstance(end.code, int):
            status = end.code
        elif end.code is not None:
            status = 1
            sys.stderr.write(f"{end.code}\n")
    except Exception:
        status = 1
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            file.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    main(-1)
