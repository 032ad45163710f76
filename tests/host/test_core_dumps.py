"""No program that may hold a secret leaves a core dump."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()
ABORT = "import os, signal; os.kill(os.getpid(), signal.SIGABRT)"
FORBID = "from appliance.host import core_dumps; core_dumps.forbid(); "
ROOT = Path(__file__).parents[2]


def _unlimited() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _may_be_unlimited() -> bool:
    return os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


writes_files = pytest.mark.skipif(
    PATTERN.startswith(("|", "/")) or not _may_be_unlimited(),
    reason=f"the kernel hands dumps on ({PATTERN}), or allows none here",
)


def dumped(code: str, place: Path) -> bool:
    """True if a program that aborts leaves a dump in its directory."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=_unlimited,
        check=False,
    )
    assert done.returncode == -signal.SIGABRT
    return any(path.name.startswith("core") for path in place.iterdir())


@writes_files
def test_nothing_is_dumped_and_the_control_is(tmp_path: Path) -> None:
    assert not dumped(FORBID + ABORT, tmp_path)
    assert dumped(ABORT, tmp_path)


@writes_files
def test_nor_where_no_limit_holds(tmp_path: Path) -> None:
    """As for a collector, which the kernel calls whatever the limit says."""
    without = "import resource; resource.setrlimit = lambda *_: None; "
    assert not dumped(without + FORBID + ABORT, tmp_path)


PROGRAMS = {
    "appliance": "from appliance.cli.main import main; run(main, '--version')",
    "python -m appliance": "import runpy; run(lambda: runpy.run_module('appliance'), '--version')",
    "appliance-tui": "from tui.program import main; run(main, '--data', 'x')",
    "the second process of a verification":
        "from appliance.audit.verification.lookahead import main; run(main)",
    "the installer":
        "import runpy; run(lambda: runpy.run_module('installer.host', run_name='__main__'), '-h')",
    "the witness":
        "import runpy; run(lambda: runpy.run_module('auditor.witness', run_name='__main__'))",
}  # fmt: skip
_RUN = """
import contextlib, ctypes, resource, sys
def run(main, *arguments):
    sys.argv = ["x", *arguments]
    with contextlib.suppress(SystemExit, ValueError):
        main()
"""
_SAY = "\nprint('said', *resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))"


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_forbids_them_before_it_does_anything(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN + PROGRAMS[program] + _SAY],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "said 0 0 0", done.stderr
