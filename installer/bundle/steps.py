"""A step of the build: run a program, never silent for long.

Rules: a program's whole output goes to a log file, whose end is shown when it fails. Every failure
of this package that a person can act on is a `BundleError`; the command line exits 1 with its text.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

HEARTBEAT: Final = 10.0
_NINJA: Final = re.compile(rb"\[(\d+)/(\d+)\]")
_TAIL_LINES: Final = 40


class BundleError(Exception):
    """An input differs from the lock, or a step of the build failed."""


def say(text: str) -> None:
    """Tell the person at the terminal; stdout stays free for results."""
    print(text, file=sys.stderr, flush=True)


def run_step(
    command: Sequence[str],
    *,
    what: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    heartbeat: float = HEARTBEAT,
) -> None:
    """Refuses another exit status than 0.

    Args:
        env: the whole environment of the program; None passes ours on.
        heartbeat: seconds between two lines of progress.
    """
    began = time.monotonic()
    with log.open("wb") as sink:
        try:
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise BundleError(f"{what}: cannot start {command[0]}: {error}") from error
        with process:
            try:
                while not _ended(process, heartbeat):
                    say(f"  {what}: {_progress(log)}{_elapsed(began)}")
            except BaseException:
                process.terminate()
                raise
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        raise BundleError(f"{tail}\n{what} failed with exit status {process.returncode}.")


def run_pip(*arguments: str, what: str, log: Path, env: Mapping[str, str] | None = None) -> None:
    """As `run_step`; the user's pip configuration applies."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run_step([*pip, *arguments], what=what, log=log, env=env)


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _elapsed(began: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes} min {seconds:02d} s"


def _progress(log: Path) -> str:
    """The last `[n/m]` that ninja printed, in words."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 65536))
        found = _NINJA.findall(file.read())
    return f"{int(found[-1][0])} of {int(found[-1][1])} steps, " if found else ""


def command_line(main: Callable[[], None]) -> None:
    """Run `main` and turn a `BundleError` into its text and exit status 1."""
    try:
        main()
    except BundleError as error:
        say(f"error: {error}")
        raise SystemExit(1) from None
