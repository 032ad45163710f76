"""The cache gives back exactly what was built; an installed wheel is on record."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from installer.bundle import cpu_builds, llama_wheel
from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.llama_recipe import Recipe, recipe
from installer.bundle.llama_wheel import RECORD, cached, install, obtain
from installer.bundle.steps import BundleError
from installer.bundle.wheel_cache import Wheel
from tests.installer.bundle.conftest import MakeEnvironment

RECIPE = Recipe("0.3.36", "0" * 64, ("gcc 12", "g++ 12"), "x86_64")
FEW = ("x64", "haswell")
MakeWheel = Callable[..., Path]


def store(root: Path, wheel: Path, wanted: Recipe = RECIPE) -> Path:
    directory = root / wanted.key
    directory.mkdir(parents=True)
    facts = wanted.facts | {"wheel": wheel.name, "sha256": sha256_file(wheel), "glibc": "2.2"}
    (directory / "facts.json").write_text(json.dumps(facts))
    return shutil.copyfile(wheel, directory / wheel.name)


def test_a_cached_wheel_is_not_built_again(tmp_path: Path, make_wheel: MakeWheel) -> None:
    path = store(tmp_path / "cache", make_wheel())
    found = obtain(tmp_path / "cache", RECIPE)
    assert (found.path, found.sha256) == (path, sha256_file(path))
    assert cached(tmp_path / "cache", replace(RECIPE, version="0.3.37")) is None


def test_a_flipped_byte_is_not_given_out(tmp_path: Path, make_wheel: MakeWheel) -> None:
    path = store(tmp_path, make_wheel())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert cached(tmp_path, RECIPE) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"wheel": 1, "sha256": "x"}'])
def test_damaged_facts_are_not_used(tmp_path: Path, make_wheel: MakeWheel, text: str) -> None:
    store(tmp_path, make_wheel()).with_name("facts.json").write_text(text)
    assert cached(tmp_path, RECIPE) is None


def test_the_gate_is_passed_again(tmp_path: Path, make_wheel: MakeWheel) -> None:
    store(tmp_path, make_wheel({"evil.pth": b"import os"}))
    with pytest.raises(BundleError, match=r"evil\.pth"):
        obtain(tmp_path, RECIPE)


def test_a_failed_build_leaves_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"llama-cpp-python==0.3.36 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(llama_wheel, "LOCK", lock)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BundleError, match="download failed"):
        obtain(tmp_path / "cache", RECIPE)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{RECIPE.key}.lock"]


def test_the_whole_wheel_is_taken_where_it_is_there(
    tmp_path: Path, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_builds, "of_host", lambda: ("x64", "haswell"))
    others = (f"llama_cpp/lib/libggml-cpu-{v}.so" for v in cpu_builds.ALL if v not in FEW)
    small = store(tmp_path, make_wheel(dict.fromkeys(others)), recipe(FEW))
    assert llama_wheel.for_this_machine(tmp_path).path == small
    whole = store(tmp_path, make_wheel(), recipe())
    assert llama_wheel.for_this_machine(tmp_path).path == whole


def test_the_gate_asks_for_the_variants_of_the_recipe(
    tmp_path: Path, make_wheel: MakeWheel
) -> None:
    store(tmp_path, make_wheel(), recipe(FEW))
    with pytest.raises(BundleError, match="unexpected"):
        cached(tmp_path, recipe(FEW))


def test_install_records_the_digest(
    tmp_path: Path, make_wheel: MakeWheel, make_environment: MakeEnvironment
) -> None:
    wheel = make_wheel()
    store(tmp_path / "cache", wheel)
    make_environment(tmp_path / "venv")
    program = (
        "from pathlib import Path\n"
        "from installer.bundle.llama_recipe import Recipe\n"
        "from installer.bundle.llama_wheel import install, obtain\n"
        f"install(obtain(Path({str(tmp_path / 'cache')!r}), {RECIPE!r}))"
    )
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-c", program], check=True, cwd=Path(llama_wheel.__file__).parents[2])
    record = json.loads((tmp_path / "venv" / RECORD).read_text())
    assert record["sha256"] == sha256_file(wheel)
    listed = subprocess.run(
        [python, "-m", "pip", "list"], capture_output=True, text=True, check=True
    )
    assert "llama_cpp_python 0.3.36" in " ".join(listed.stdout.split())


def test_install_refuses_outside_a_virtual_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(BundleError, match="virtual environment"):
        install(Wheel(tmp_path / "x.whl", "0" * 64, {}))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_second_build_gives_the_same_bytes(tmp_path: Path) -> None:
    first = obtain(cache_root() / "llama-wheels", recipe())
    second = obtain(tmp_path, recipe())
    assert second.sha256 == first.sha256
