"""Commands of the appliance that the screens run: those that need a key file, a stick, or no
server.

Rules: they are the commands that a person would type, with `--json`; they read private keys, this
program never does; a change is run once, whatever comes of it; the program's end ends them.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from appliance.errors import CODES, ApplianceError, Refused, Unavailable
from appliance.types import Report, silent

_PROGRESS: Final = re.compile(r"^(.{1,200}) (\d{1,3}) %$")


class Commands:
    """Runs `appliance COMMAND --json` for one data directory, from any thread."""

    def __init__(self, data: Path, program: Sequence[str] = (sys.executable, "-m", "appliance")):
        self._data = data
        self._program = list(program)
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def data(self) -> Path:
        return self._data

    def run(
        self,
        *arguments: str,
        report: Report = silent,
        data: bool = True,
        refused_is_data: bool = False,
    ) -> Any:
        """Run one command; its JSON document.

        Args:
            refused_is_data: a document that says why something was refused is the answer.

        Raises:
            ApplianceError: with the code and message of the command.
        """
        directory = ["--data", str(self._data)] if data else []
        process = self._start([*self._program, *arguments, *directory, "--json"])
        try:
            out = self._drain(process, report)
        finally:
            with self._lock:
                self._running.discard(process)
        return self._outcome(arguments, process.returncode, *out, refused_is_data)

    def close(self) -> None:
        """End what is running; nothing more is started."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            process.terminate()

    def _start(self, line: list[str]) -> "subprocess.Popen[str]":
        with self._lock:
            if self._closed:
                raise Unavailable("interrupted", "The program ends.")
            process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            self._running.add(process)
        return process

    def _drain(self, process: "subprocess.Popen[str]", report: Report) -> tuple[str, str]:
        said: list[str] = []
        with process:
            if process.stdout is None or process.stderr is None:
                raise Unavailable("interrupted", "The command has no output.")
            out: list[str] = []
            reader = threading.Thread(
                target=lambda: out.append(process.stdout.read() if process.stdout else "")
            )
            reader.start()
            for line in process.stderr:
                told = _PROGRESS.match(line.strip())
                if told:
                    report(told[1], int(told[2]), 100)
                else:
                    said.append(line.strip())
            reader.join()
        return "".join(out), " ".join(said[-3:])

    def _outcome(
        self, arguments: Sequence[str], status: int, out: str, said: str, refused_is_data: bool
    ) -> Any:
        try:
            document = json.loads(out)
        except ValueError:
            name = " ".join(arguments[:2])
            message = f"`appliance {name}` ended with {status}: {said or out[:200]}"
            raise Unavailable("incompatible_server", message) from None
        if status == 0 or refused_is_data:
            return document
        raise _error(document, status)


def _error(document: Any, status: int) -> ApplianceError:
    table = document if isinstance(document, dict) else {}
    code, message = str(table.get("code")), str(table.get("message", ""))
    if code not in CODES:
        return Unavailable("incompatible_server", f"The command ended with {status}: {message}")
    return Refused(code, message)
