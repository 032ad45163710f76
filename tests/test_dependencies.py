"""pyproject.toml, the locks and docs/dependencies.md say the same."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from installer.bundle.locks import LOCKS, canonical, read_lock
from installer.bundle.wheel_lists import check
from tests.conftest import CHECKOUT

PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
GROUPS: dict[str, list[Any]] = {
    "runtime": PROJECT["project"]["dependencies"],
    **PROJECT["dependency-groups"],
}


def names(requirements: list[Any]) -> set[str]:
    """A table includes another group."""
    plain = (line for line in requirements if isinstance(line, str))
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in plain)
    return {canonical(match[0]) for match in found if match}


def documented(text: str) -> dict[str, list[str]]:
    """By the lock that the section's title names."""
    sections = re.split(r"(?m)^## ", text)[1:]
    titled = (
        (re.search(r"`lock-([\w-]+)\.txt`", section.splitlines()[0]), section)
        for section in sections
    )
    rows = r"(?m)^\| ([a-z0-9-]+) \| [^|]+ \| [^|]+ \| [^|]+ \|$"
    return {
        title[1]: [row for row in re.findall(rows, section) if row != "package"]
        for title, section in titled
        if title
    }


def test_each_direct_dependency_is_explained() -> None:
    assert documented((CHECKOUT / "docs" / "dependencies.md").read_text()) == {
        group: sorted(names(requirements)) for group, requirements in GROUPS.items()
    }


def test_a_row_that_lacks_a_column_does_not_count() -> None:
    row = "## Runtime (`lock-runtime.txt`)\n| {} |\n"
    assert documented(row.format("click | why | MIT | argparse")) == {"runtime": ["click"]}
    assert documented(row.format("click | why | MIT")) == {"runtime": []}


@pytest.mark.parametrize("group", GROUPS)
def test_each_direct_dependency_is_locked(group: str) -> None:
    locked = read_lock(LOCKS / f"lock-{group}.txt")
    assert names(GROUPS[group]) <= {entry.name for entry in locked}


def test_every_lock_has_its_group() -> None:
    assert {path.name for path in LOCKS.glob("*.txt")} == {f"lock-{group}.txt" for group in GROUPS}


def test_locks_that_are_installed_together_agree() -> None:
    versions: dict[tuple[str, str], set[str]] = {}
    for name in ("lock-runtime.txt", "lock-dev.txt", "lock-build.txt"):
        for entry in read_lock(LOCKS / name):
            versions.setdefault((entry.name, entry.marker), set()).add(entry.version)
    assert {key for key, found in versions.items() if len(found) > 1} == set()


def test_llama_and_its_imports_are_in_the_runtime_lock() -> None:
    runtime = {entry.name for entry in read_lock(LOCKS / "lock-runtime.txt")}
    assert "llama-cpp-python" not in runtime
    assert {"diskcache", "jinja2", "numpy", "typing-extensions"} <= runtime


def test_the_lists_of_wheels_are_those_of_the_runtime_lock() -> None:
    assert check() > 100


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*lock*")), ids=lambda path: path.name)
def test_locks_name_no_index(path: Path) -> None:
    assert not re.search(r"(?i)https?:|--index|--find-links|--trusted", path.read_text())
