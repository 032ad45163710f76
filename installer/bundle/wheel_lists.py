"""Writes and checks the lists of wheels in `offline-wheels/`, for every Python.

usage: python -m installer.bundle.wheel_lists write|check

`write` fetches every wheel once (about 60 MB for each Python); `check` needs no network.
"""

import argparse
import tempfile
from pathlib import Path

from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import command_line
from installer.bundle.wheelhouse import TARGETS, check_lists, collect, read_lists, write_lists


def product_version(checkout: Path = LOCKS.parent) -> str:
    """The version in the product's source, as `pyproject.toml` takes it."""
    source = (checkout / "appliance" / "__init__.py").read_text(encoding="utf-8")
    return source.partition('__version__ = "')[2].partition('"')[0]


def write(parent: Path = LOCKS) -> None:
    """Fetch every target's wheels and write their lists."""
    runtime = read_lock(LOCKS / "lock-runtime.txt")
    with tempfile.TemporaryDirectory() as work:
        for target in TARGETS.values():
            directory = Path(work) / target.name
            directory.mkdir()
            wheels = collect(runtime, target, directory, Path(work) / "pip.log")
            write_lists(target.name, product_version(), wheels, parent)


def check(parent: Path = LOCKS) -> int:
    """Check that every target's lists agree; their wheels' number."""
    runtime = read_lock(LOCKS / "lock-runtime.txt")
    count = 0
    for target in TARGETS.values():
        lists = read_lists(target.name, parent)
        check_lists(lists, runtime, target)
        count += len(lists.sums)
    return count


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.wheel_lists")
    parser.add_argument("action", choices=("write", "check"))
    if parser.parse_args().action == "write":
        write()
    print(f"{check()} wheels for {', '.join(TARGETS)}: lock, sums and bill of materials agree")


if __name__ == "__main__":
    command_line(main)
