"""Whatever a backend does to the child that tries it becomes a reason; on a GPU it computes."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.workers.cpu_variants import best_variant, library_directory
from appliance.workers.gpu_driver import Plugin, driver_facts, fitting, installed_plugins
from appliance.workers.gpu_layers import GpuMemory
from appliance.workers.gpu_probe import parse, probe
from tests.conftest import need_tool

PLUGIN = Plugin("cuda13", Path("/nowhere.so"), 580, "13.0", ("90-real",), "0.3.36")


def library(directory: Path, code: str) -> Plugin:
    source, target = directory / "x.c", directory / "libggml-cuda.so"
    source.write_text(
        "#include <stdlib.h>\n#include <unistd.h>\n"
        f"void *ggml_backend_init(void) {{ {code}; return 0; }}\n"
    )
    command = [need_tool("gcc"), "-shared", "-fPIC", "-o", str(target), str(source)]
    subprocess.run(command, check=True)
    return replace(PLUGIN, library=target)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("abort()", "ended the process with SIGABRT"),
        ("*(volatile int *)0 = 1", "ended the process with SIGSEGV"),
        ("_exit(3)", "no reason given"),
        ("", "was not accepted"),
    ],
)
def test_what_a_backend_does_becomes_a_reason(tmp_path: Path, code: str, problem: str) -> None:
    found = probe(library(tmp_path, code), library_directory())
    assert problem in found.problem
    assert found.gpus == ()


def test_a_backend_that_hangs_is_ended(tmp_path: Path) -> None:
    found = probe(library(tmp_path, "for (;;) pause()"), library_directory(), seconds=3)
    assert found.problem == "it did not answer within 3 s"


def test_a_library_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "libggml-cuda.so").write_bytes(b"\x7fELF" + b"\0" * 100)
    found = probe(replace(PLUGIN, library=tmp_path / "libggml-cuda.so"), library_directory())
    assert "does not load" in found.problem and str(tmp_path) in found.problem


def test_a_backend_without_a_gpu_is_no_gpu() -> None:
    directory = library_directory()
    found = probe(replace(PLUGIN, library=best_variant(directory)), directory)
    assert found.gpus == ()
    assert found.problem


@pytest.mark.parametrize(
    "output",
    [b"", b"[]", b"{}", b'{"gpus": [{}], "cuda": "", "driver_library": "", "problem": ""}'],
)
def test_an_answer_that_cannot_be_read_is_a_problem(output: bytes) -> None:
    assert "cannot be read" in parse(output).problem


def test_an_answer_is_read() -> None:
    gpu = b'{"name": "H100", "free": 1, "total": 2}'
    output = b'{"gpus": [%s], "cuda": "13.0", "driver_library": "/x", "problem": ""}' % gpu
    found = parse(output)
    assert (found.gpus, found.cuda, found.problem) == ((GpuMemory("H100", 2, 1),), "13.0", "")


@pytest.mark.gpu
def test_a_gpu_computes() -> None:
    driver = driver_facts()
    if driver is None:
        pytest.skip("no NVIDIA driver is loaded on this host")
    plugin = fitting(installed_plugins(), driver, "0.3.36")
    found = probe(plugin, library_directory())
    assert found.problem == ""
    assert found.gpus and found.driver_library
