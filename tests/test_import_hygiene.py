"""Imports: only what is declared, only where the contracts allow it, without side effects."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from installer.bundle.locks import canonical
from tests.conftest import CHECKOUT

SHIPPED = [path for name in ("appliance", "tui") for path in (CHECKOUT / name).rglob("*.py")]
INSTALLER = list((CHECKOUT / "installer").rglob("*.py"))
LIBRARIES = {
    "e5.py": {"numpy"},
    "sbom.py": {"cyclonedx", "packageurl"},
    "wheel_facts.py": {"packaging"},
    "wheelhouse.py": {"packaging"},
}
"""What some modules of the build use: they run in the environment that the others make."""

LINTER = Path(sys.executable).with_name("lint-imports")


def imported(path: Path) -> Iterator[str]:
    """The absolute names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@cache
def declared() -> set[str]:
    """The import names of the direct runtime dependencies."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = {canonical(re.split(r"[<>=~!\[; ]", line)[0]) for line in project["dependencies"]}
    owners = metadata.packages_distributions()
    return {name for name, by in owners.items() if wanted & set(map(canonical, by))}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_only_declared_packages(path: Path) -> None:
    ours = {"appliance", "tui", "llama_cpp"}
    ours.add("pydantic_core")  # pinned by pydantic, whose documented errors live there
    if "appliance/tuning/trainer" in path.as_posix():
        ours.add("torch")  # of the tuning set, beside the environment
    allowed = declared() | sys.stdlib_module_names | ours
    assert {name.split(".")[0] for name in imported(path)} <= allowed


@pytest.mark.parametrize("path", INSTALLER, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_the_build_is_standard_library_only(path: Path) -> None:
    allowed = sys.stdlib_module_names | {"installer"} | LIBRARIES.get(path.name, set())
    assert {name.split(".")[0] for name in imported(path)} <= allowed


def loaded(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after a statement."""
    program = f"{statement}\nimport sys, threading\nprint(threading.active_count(), *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    threads, *modules = done.stdout.split()
    assert threads == "1"
    return {name for name in modules if name.count(".") == 0}


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("appliance.client", {"sqlalchemy", "fastapi", "llama_cpp", "numpy", "textual"}),
        ("appliance.cli.main", {"llama_cpp", "numpy", "textual"}),
        ("installer.bundle.environment", {"packaging", "cyclonedx"}),  # there is none yet
        ("appliance.app", {"llama_cpp", "textual", "rich", "torch"}),
        ("appliance.api.app", {"llama_cpp", "textual", "rich", "click"}),
        ("appliance.engine.scheduler", {"llama_cpp", "sqlalchemy", "fastapi", "jinja2"}),
    ],
)
def test_what_a_module_never_loads(module: str, never: set[str]) -> None:
    assert loaded(f"import {module}") & never == set()


def test_loaded_sees_what_is_loaded() -> None:
    assert {"llama_cpp", "numpy"} <= loaded("import appliance.engine.runner")


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINTER, "--no-logo", "--no-cache"], capture_output=True, text=True, check=False, cwd=root
    )


def test_contracts_are_kept() -> None:
    kept = lint(CHECKOUT)
    assert kept.returncode == 0, kept.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("appliance/errors.py", "import appliance.clock", "Layers point down"),
        ("appliance/trust/bytes/oms.py", "import appliance.auth.keys", "Layers point down"),
        (
            "appliance/trust/bytes/dsse.py",
            "import appliance.trust.policy.people",
            "The packages of trust point down",
        ),
        ("tui/text.py", "import appliance.config", "The terminal knows only"),
        ("tui/app.py", "import appliance.pool.pool", "The terminal knows only"),
        ("appliance/client.py", "import appliance.config", "The client knows only"),
        ("appliance/auth/keys.py", "import rich", "The server never needs a terminal"),
        (
            "appliance/engine/scheduler.py",
            "import llama_cpp",
            "Only engine.runner and engine.quantizer touch llama.cpp",
        ),
        ("appliance/tuning/job.py", "import torch", "Only the trainer computes with torch"),
        ("installer/bundle/elf.py", "import appliance.text", "never import the product"),
        ("appliance/text.py", "import installer.bundle.elf", "The product never imports the build"),
    ],
)
def test_a_contract_can_break(tmp_path: Path, file: str, line: str, contract: str) -> None:
    for name in ("appliance", "installer", "tui"):
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, tmp_path / name)
    shutil.copyfile(CHECKOUT / "pyproject.toml", tmp_path / "pyproject.toml")
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    broken = lint(tmp_path)
    assert broken.returncode == 1
    assert re.search(f"{contract}.* BROKEN", broken.stdout)
