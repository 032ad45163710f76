"""Runs the fuzz target for a bounded time in the oracle environment.

usage: python -m tests.fuzz.run [--seconds N] [--runs N] [--log FILE]

Seeds are made anew from `tests/trust/forge.py`; a finding is left beside the log and fails the run.
The output is libFuzzer's: executions, `cov` (edges of the parser) and `ft` (features).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import CHECKOUT
from tests.oracle import python
from tests.trust.forge import Gguf, Tensor
from tests.trust.gguf.test_gguf import ACCEPTED

TARGET = CHECKOUT / "tests" / "fuzz" / "gguf_target.py"
MAX_BYTES = 16384


def write_seeds(directory: Path) -> None:
    """Small valid files, one for each thing that is allowed."""
    files = {"base": Gguf(), "small": Gguf(tensors=[Tensor("last", (33,), 0, 132)])}
    for number, change in enumerate(ACCEPTED.values()):
        files[f"{number:02}"] = Gguf()
        change(files[f"{number:02}"])
    for name, made in files.items():
        (directory / name).write_bytes(made.build())


def fuzz(
    seconds: int, runs: int, findings: Path, source: Path = CHECKOUT
) -> subprocess.CompletedProcess[str]:
    """Fuzz until the time or the executions are used up, whichever is first.

    Args:
        runs: most executions; -1 means any number.
        findings: where an input that fails is left.
        source: where `appliance` is imported from.
    """
    with tempfile.TemporaryDirectory() as scratch:
        corpus, seeds = Path(scratch) / "corpus", Path(scratch) / "seeds"
        corpus.mkdir()
        seeds.mkdir()
        write_seeds(seeds)
        limits = [f"-max_len={MAX_BYTES}", f"-max_total_time={seconds}", f"-runs={runs}"]
        return subprocess.run(
            [python(), TARGET, *limits, f"-artifact_prefix={findings}/", corpus, seeds],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.defpath, "PYTHONPATH": str(source)},
            check=False,
        )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--log", type=Path, default=None)
    options = parser.parse_args()
    log: Path | None = options.log
    done = fuzz(options.seconds, options.runs, Path.cwd() if log is None else log.parent)
    if log is not None:
        log.write_text(done.stdout)
    sys.stdout.write("\n".join(done.stdout.splitlines()[-12:]) + "\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
