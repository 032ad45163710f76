"""The tree is what docs/structures.md and the working rules say."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.conftest import CHECKOUT

TARGETS = (
    "setup",
    "demo",
    "serve",
    "check",
    "test",
    "test-swept",
    "test-fast",
    "test-all",
    "wheels",
    "lock",
    "clean",
)


VAGUE = {
    "company", "counted", "differing", "given", "misc", "parts", "picking", "taught", "tell",
    "told", "under_way", "utils", "wanted", "whole", "written",
}  # fmt: skip


def modules(*packages: str) -> list[Path]:
    found = [path for name in packages for path in (CHECKOUT / name).rglob("*.py")]
    return [path.relative_to(CHECKOUT) for path in found]


def mirror(module: Path) -> Path:
    """The appliance's own without the leading directory."""
    parts = module.parts[1:] if module.parts[0] == "appliance" else module.parts
    return Path("tests", *parts[:-1], f"test_{parts[-1]}")


def test_each_module_has_its_tests() -> None:
    found = modules("appliance", "auditor", "tui", "installer")
    named = [path for path in found if not path.stem.startswith("__")]
    assert len(named) > 500
    assert [path for path in named if not (CHECKOUT / mirror(path)).is_file()] == []


def test_no_module_is_named_by_a_vague_word() -> None:
    assert VAGUE.isdisjoint(path.stem for path in modules("appliance", "auditor", "tui"))


def test_packages_are_packages_and_data_is_not() -> None:
    for module in modules("appliance", "auditor", "tui", "installer"):
        assert (CHECKOUT / module.parent / "__init__.py").is_file(), module
    for place in ("tests", "models", "offline-wheels", "docs"):
        assert not list((CHECKOUT / place).rglob("__init__.py")), place


def test_the_wheel_holds_the_product_only(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", tmp_path, CHECKOUT], check=True)
    (wheel,) = tmp_path.glob("appliance-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} <= {
        "appliance",
        "auditor",
        "tui",
        f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info",
    }
    assert {"appliance/errors.py", "auditor/verify_receipt.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_make_has_its_targets() -> None:
    text = (CHECKOUT / "Makefile").read_text()
    described = re.findall(r"(?m)^([a-z-]+):.*## ", text)
    assert set(TARGETS) <= set(described)
    phony = re.search(r"(?m)^\.PHONY: (.*)$", text)
    assert phony is not None
    assert set(described) <= set(phony[1].split())


def test_integration_calls_make_test_and_then_the_sweep() -> None:
    script = CHECKOUT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[-2:] == [".ci/environment make test", "exec .ci/environment make test-swept"]
    assert "set -euo pipefail" in lines
    assert "export CI=true" in lines


def test_nothing_heavy_is_tracked() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=CHECKOUT
    ).stdout.split("\0")
    files = [CHECKOUT / name for name in tracked if name and (CHECKOUT / name).is_file()]
    assert files
    assert [path for path in files if path.stat().st_size > 1_000_000] == []
    assert [path for path in files if path.suffix in {".gguf", ".whl", ".pem", ".so"}] == []


def test_packages_of_the_set_up_are_the_first_of_the_tests() -> None:
    text = (CHECKOUT / "tests" / "debian-packages.txt").read_text()
    packages = [line for line in text.splitlines() if not line.startswith("#")]
    makefile = (CHECKOUT / "Makefile").read_text()
    assert f"SYSTEM := apt-get install -y {' '.join(packages[:4])}\n" in makefile
    assert packages[:4] == ["git", "make", "g++", "python3-venv"]
