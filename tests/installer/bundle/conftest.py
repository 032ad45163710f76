"""Small compiled libraries, and llama.cpp wheels made of them."""

import shutil
import subprocess
import venv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from installer.bundle.wheel_gate import VARIANTS
from tests.conftest import need_tool

WHEEL = "llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl"
Compile = Callable[..., bytes]
MakeEnvironment = Callable[[Path], Path]


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory: pytest.TempPathFactory) -> MakeEnvironment:
    """Copies of one virtual environment with pip, since pip takes seconds to install."""
    first = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(first, with_pip=True)
    return lambda path: shutil.copytree(first, path, symlinks=True)


@pytest.fixture(scope="session")
def compile_library(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    compiler = need_tool("gcc")
    directory = tmp_path_factory.mktemp("libraries")
    source = directory / "x.c"
    source.write_text("#include <string.h>\nint f(char *a) { return (int)strlen(a); }\n")

    def build(*flags: str) -> bytes:
        target = directory / "x.so"
        command = [compiler, "-shared", "-fPIC", "-o", str(target), str(source), *flags]
        subprocess.run(command, check=True)
        return target.read_bytes()

    return build


@pytest.fixture(scope="session")
def good_library(compile_library: Compile) -> bytes:
    return compile_library("-Wl,-rpath,$ORIGIN,--enable-new-dtags")


@pytest.fixture
def make_wheel(tmp_path: Path, good_library: bytes) -> Callable[..., Path]:
    """Write a wheel that passes the gate, but for `changes` (None leaves a member out)."""

    def write(changes: Mapping[str, bytes | None] = {}, name: str = WHEEL) -> Path:
        names = [f"llama_cpp/lib/libggml-cpu-{variant}.so" for variant in VARIANTS]
        files: dict[str, bytes | None] = dict.fromkeys(names, good_library)
        files |= {
            "llama_cpp/__init__.py": b"",
            "llama_cpp_python-0.3.36.dist-info/METADATA": (
                b"Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: 0.3.36\n"
            ),
            "llama_cpp_python-0.3.36.dist-info/WHEEL": (
                b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n"
            ),
        }
        files |= changes
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in files.items():
                if data is not None:
                    archive.writestr(member, data)
            archive.writestr("llama_cpp_python-0.3.36.dist-info/RECORD", "")
        return path

    return write
