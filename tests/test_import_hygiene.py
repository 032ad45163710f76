"""Imports: only what is declared, only where the contracts allow it, without side effects."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from installer.bundle.locks import canonical
from tests.conftest import CHECKOUT

pytestmark = pytest.mark.long

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


def undeclared(paths: list[Path], allowed: Callable[[Path], frozenset[str]]) -> dict[str, set[str]]:
    """By file, the packages that it must not import."""
    found = {path: {name.split(".")[0] for name in imported(path)} for path in paths}
    return {str(path): names - allowed(path) for path, names in found.items()
            if names - allowed(path)}  # fmt: skip


def test_only_declared_packages() -> None:
    ours = {"appliance", "tui", "llama_cpp"}
    ours.add("pydantic_core")  # pinned by pydantic, whose documented errors live there
    allowed = sys.stdlib_module_names | declared() | ours

    def may(path: Path) -> frozenset[str]:
        """The trainer uses the tuning set, too, which lies beside the environment."""
        return allowed | ({"torch"} if "appliance/tuning/trainer" in path.as_posix() else set())

    assert len(SHIPPED) > 500
    assert undeclared(SHIPPED, may) == {}


def test_the_build_is_standard_library_only() -> None:
    known = sys.stdlib_module_names | {"installer"}
    assert len(INSTALLER) > 50
    assert undeclared(INSTALLER, lambda path: known | LIBRARIES.get(path.name, set())) == {}


def test_a_package_that_is_not_declared_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("import os, foreign.part\n")
    assert undeclared([path], lambda _: frozenset({"os"})) == {str(path): {"foreign"}}


def loaded(statement: str) -> set[str]:
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
        ("appliance.api.app", {"llama_cpp", "textual", "rich", "click", "cyclonedx"}),
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


BREAKS = [
    ("appliance/errors.py", "appliance.clock", "Layers point down"),
    ("appliance/trust/bytes/oms.py", "appliance.auth.keys", "Layers point down"),
    ("appliance/trust/bytes/dsse.py", "appliance.trust.policy.people", "The packages of trust"),
    ("tui/text.py", "appliance.config", "The terminal knows only"),
    ("tui/app.py", "appliance.pool.pool", "The terminal knows only"),
    ("appliance/client.py", "appliance.config", "The client knows only"),
    ("appliance/auth/keys.py", "rich", "The server never needs a terminal"),
    ("appliance/engine/scheduler.py", "llama_cpp", "Only engine.runner and engine.quantizer touch"),
    ("appliance/tuning/job.py", "torch", "Only the trainer computes with torch"),
    ("installer/bundle/elf.py", "appliance.text", "The build and the installer never import"),
    ("appliance/text.py", "installer.bundle.elf", "The product never imports the build"),
]
"""A file, what it must not import, and the contract that says so."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The linter's words on each contract in a tree where all are broken."""
    root = tmp_path_factory.mktemp("broken")
    for name in ("appliance", "auditor", "installer", "tui"):
        shutil.copytree(CHECKOUT / name, root / name)
    shutil.copyfile(CHECKOUT / "pyproject.toml", root / "pyproject.toml")
    for file, imports, _ in BREAKS:
        with (root / file).open("a") as source:
            source.write(f"\nimport {imports}\n")
    found = lint(root)
    assert found.returncode == 1
    return re.split(r"\n(?=.+\n-{3,}\n)", found.stdout)


@pytest.mark.parametrize(("file", "imports", "contract"), BREAKS)
def test_a_contract_can_break(broken: list[str], file: str, imports: str, contract: str) -> None:
    by = f"{file.removesuffix('.py').replace('/', '.')} -> {imports} "
    assert [part for part in broken if part.startswith(contract) and by in part], broken
