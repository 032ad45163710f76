"""The gate, and each thing that it refuses."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from installer.bundle.cache import cache_root
from installer.bundle.llama_recipe import recipe
from installer.bundle.llama_wheel import RECORD, cached
from installer.bundle.steps import BundleError
from installer.bundle.wheel_gate import check_llama_wheel
from tests.conftest import unavailable

MakeWheel = Callable[..., Path]
LIBRARY = "llama_cpp/lib/libggml-cpu-zen4.so"


def test_passes_and_tells_the_glibc_needed(make_wheel: MakeWheel) -> None:
    major, minor = check_llama_wheel(make_wheel(), build_path="/nowhere/in/it")
    assert (major, minor) >= (2, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({LIBRARY: None}, r"missing: \['zen4'\]"),
        ({"llama_cpp/lib/libggml-cpu-zen9.so": b"x"}, r"unexpected: \['zen9'\]"),
        ({"bin/libggml-cpu-zen4.so": b"x"}, "top of the wheel: bin"),
        ({"evil.pth": b"import os"}, r"top of the wheel: evil\.pth"),
        ({"llama_cpp/libx.so.1": b"x"}, "outside llama_cpp/lib"),
        ({LIBRARY: b"not a library"}, "zen4.so: not a 64-bit"),
        ({"llama_cpp/x.py": b"# /build/place/x"}, "x.py: names the directory of the build"),
    ],
)
def test_refuses_contents(
    make_wheel: MakeWheel, changes: Mapping[str, bytes | None], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        check_llama_wheel(make_wheel(changes), build_path="/build/place")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-Wl,-rpath,$ORIGIN:,--enable-new-dtags"], "RUNPATH"),
        (["-Wl,-rpath,/opt/lib,--enable-new-dtags"], "RUNPATH"),
        (["-Wl,-rpath,$ORIGIN,--disable-new-dtags"], "RPATH"),
        ([], "RUNPATH None"),
        (["-Wl,-rpath,$ORIGIN,--enable-new-dtags,--no-as-needed", "-lgomp"], "libgomp"),
    ],
)
def test_refuses_libraries(
    make_wheel: MakeWheel, compile_library: Callable[..., bytes], flags: list[str], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        check_llama_wheel(make_wheel({LIBRARY: compile_library(*flags)}))


def test_refuses_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"PK")
    with pytest.raises(BundleError, match="not a readable wheel"):
        check_llama_wheel(tmp_path / "x.whl")


def test_the_installed_wheel_passed() -> None:
    if not (Path(sys.prefix) / RECORD).exists():
        unavailable("no llama.cpp wheel is recorded in this environment: make setup")
    facts = json.loads((Path(sys.prefix) / RECORD).read_text())
    wheel = cached(cache_root() / "llama-wheels", recipe(tuple(facts["variants"])))
    assert wheel is not None
    variants = frozenset(facts["variants"])
    assert check_llama_wheel(wheel.path, variants=variants) <= (2, 99)
