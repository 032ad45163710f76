"""Every kernel of every library that runs here, against double precision and ggml's own kernel."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from appliance.workers import cpu_variants
from appliance.workers.kernel_check import FORMATS

pytestmark = pytest.mark.long

Errors = dict[str, list[float]]


@cache
def libraries() -> tuple[Path, ...]:
    """One for each set of instructions that our kernels use and this machine has."""
    found: dict[str, Path] = {}
    paths = sorted(cpu_variants.library_directory().glob("libggml-cpu-*.so"))
    scores = cpu_variants.score([str(path) for path in paths])
    for path in sorted(paths, key=lambda p: scores[str(p)]):
        variant = cpu_variants.checked(path) if scores[str(path)] else None
        if variant and variant.instructions:
            found[variant.instructions] = path
    return tuple(found.values())


@cache
def errors(library: Path) -> dict[str, Errors]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.exactness", library],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", FORMATS)
def test_no_kernel_is_less_exact_than_that_of_ggml(name: str) -> None:
    """Both keep 8 bits of the inputs, which is nearly all of the error."""
    for library in libraries():
        found = errors(library)[name]
        for ours, theirs in zip(found["ours mean"], found["ggml mean"], strict=True):
            assert ours <= 1.02 * theirs, library
        assert max(found["ours max"]) <= 1.02 * max(found["ggml max"]), library


@pytest.mark.parametrize("name", FORMATS)
def test_a_kernel_adds_nothing_to_the_rounding_of_the_inputs(name: str) -> None:
    """No scale is rounded further than the format has it; a wrong sign would be seen."""
    for library in libraries():
        found = errors(library)[name]
        assert max(found["beyond the inputs"]) < 1e-6, library
        assert min(found["wrong sign"]) > 1e-3, library


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_depends_on_its_own_row_alone(name: str) -> None:
    """Neither threads nor the other rows of a batch change a bit."""
    for library in libraries():
        found = errors(library)[name]
        assert not any(found["threads differ"]), library
        assert not any(found["alone differs"]), library


def test_attention_depends_on_the_query_and_its_cells_alone() -> None:
    """Neither threads nor the other queries of a batch change a bit."""
    for library in libraries():
        found = errors(library)["attention"]
        assert not any(found["threads differ"]) and not any(found["alone differs"]), library


def test_what_an_adapter_adds_is_more_exact_than_with_ggml() -> None:
    """ggml rounds the inputs to half floats; here a wrong sum would be some 1e-2 off."""
    for library in libraries():
        found = errors(library)["adapter"]
        assert max(found["ours max"]) < 1e-6 < max(found["ggml max"]), library
        assert not any(found["threads differ"]) and not any(found["alone differs"]), library
