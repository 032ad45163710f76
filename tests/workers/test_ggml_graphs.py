"""Small computations with ggml: what the checks of backends stand on."""

import tempfile
from array import array
from pathlib import Path

import pytest

from appliance.workers import cpu_variants
from appliance.workers.ggml_graphs import F32, Backend, product_is_right
from tests.child import in_child


def best_backend() -> Backend:
    return Backend(cpu_variants.best_variant(cpu_variants.library_directory()))


@in_child
def test_a_product_of_floats() -> None:
    backend = best_backend()
    weights = array("f", [1, 2, 3, 4, 5, 6]).tobytes()  # two rows of three
    assert list(backend.product(F32, weights, array("f", [1, 0, -1]), 3, 2)) == [-2, -2]
    two = array("f", [1, 1, 1, 0, 0, 2])
    assert list(backend.product(F32, weights, two, 3, 2)) == [6, 15, 6, 12]


@in_child
def test_the_matrices_of_whole_numbers() -> None:
    backend = best_backend()
    assert backend.works
    assert product_is_right(backend.base, backend.backend)


@in_child
def test_attention_to_one_cell_is_its_value() -> None:
    backend = best_backend()
    key = array("f", [0.5] * 64)
    half = bytes.fromhex("0038") * 64  # 0.5 as half floats
    mask = bytes(2)
    assert (
        list(backend.attention((64, 1, 1, 1, 1), [key.tobytes(), half, half, mask], 1.0))
        == [pytest.approx(0.5)] * 64
    )


@in_child
def test_what_was_quantised_is_near_to_what_it_was() -> None:
    backend = best_backend()
    values = array("f", [i / 8 for i in range(-32, 32)])
    q8_0 = 8
    again = backend.dequantised("q8_0", backend.quantised(q8_0, values, 64), 64)
    assert list(again) == pytest.approx(list(values), abs=0.02)


@in_child
def test_a_library_without_a_function_has_nothing_to_say() -> None:
    backend = best_backend()
    assert backend.text("no_such_function") == ""


@in_child
def test_what_is_no_backend_does_not_work() -> None:
    directory = cpu_variants.library_directory()
    with tempfile.TemporaryDirectory() as name:
        for library in ("libggml-base.so", "libggml.so"):
            (Path(name) / library).symlink_to(directory / library)
        broken = Path(name) / "libggml-cpu-broken.so"
        broken.write_bytes(b"\x7fELF")
        assert not Backend(broken).works
