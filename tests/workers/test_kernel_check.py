"""The self-test of the kernels sees a kernel that computes something else."""

from array import array
from pathlib import Path
from typing import Any

import pytest

from appliance.workers import cpu_variants, kernel_check
from appliance.workers.cpu_variants import Variant
from appliance.workers.ggml_graphs import Backend
from tests.child import in_child

SHAPE = (64, 9, 4, 2, 70)
ADAPTER = (64, 10, 35, 11)


class Wrong(Backend):
    error = 0.0

    def product(self, *arguments: Any) -> "array[float]":
        found = super().product(*arguments)
        found[len(found) // 2] *= 1 + self.error
        return found

    def attention(self, *arguments: Any) -> "array[float]":
        found = super().attention(*arguments)
        found[len(found) // 2] += self.error
        return found

    def adapted(self, *arguments: Any) -> "array[float]":
        found = super().adapted(*arguments)
        found[len(found) // 2] += self.error
        return found


def best_backend() -> Wrong:
    return Wrong(cpu_variants.best_variant(cpu_variants.library_directory()))


@in_child
def test_every_kernel_of_this_machine_is_right() -> None:
    backend = best_backend()
    backend.error = 0.0
    assert list(kernel_check.wrong(backend)) == []
    known = [*kernel_check.FORMATS, "attention", "adapter"]
    assert kernel_check.names(backend) in ([], known, [*known, "tiles"])


@pytest.mark.parametrize("error", [-2.0, 0.01, float("nan")])
@in_child
def test_one_wrong_number_is_seen(error: float) -> None:
    backend = best_backend()
    backend.error = error
    for name in kernel_check.FORMATS:
        for tiles in (False, True):
            assert not kernel_check.product_is_right(backend, name, tiles=tiles)
    assert not kernel_check.attention_is_right(backend, SHAPE)
    assert not kernel_check.adapter_is_right(backend, ADAPTER)


def test_what_is_wrong_is_said_and_not_used() -> None:
    names = ("Q4_0", "Q4_1", "Q4_K", "attention")
    good = Variant(Path("/lib/libggml-cpu-zen4.so"), "avx512-vnni", names)
    assert (good.refused, good.label) == (0, "libggml-cpu-zen4.so, kernels avx512-vnni")
    bad = Variant(good.path, good.instructions, names, ("Q4_1", "attention"))
    assert bad.refused == 0b1010
    assert bad.label == (
        "libggml-cpu-zen4.so, kernels avx512-vnni, without Q4_1, attention: wrong in the self-test"
    )


@pytest.mark.parametrize("refused", ["attention", "adapter"])
@in_child
def test_the_order_of_the_bits_is_that_of_the_library(refused: str) -> None:
    """`kernels_refuse` and `kernels_names` mean the same; the products of others stay right."""
    backend = best_backend()
    names = kernel_check.names(backend)
    if not names:
        pytest.skip("no kernels of ours on this machine")
    variant = Variant(Path("x"), "avx2", tuple(names), (refused,))
    backend.error = 0.0
    backend.library.kernels_refuse(variant.refused)
    try:  # ggml keeps results or inputs in half floats, which the check sees
        assert list(kernel_check.wrong(backend)) == [refused]
    finally:
        backend.library.kernels_refuse(0)


def test_the_order_of_variants_with_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library with a wrong kernel is still the best; what it does wrong is known."""
    said = '{"instructions": "avx2", "kernels": ["Q4_0", "Q6_K"], "wrong": ["Q6_K"]}'
    monkeypatch.setattr(cpu_variants, "_child", lambda *arguments: said)
    found = cpu_variants.checked(Path("/x/libggml-cpu-haswell.so"))
    assert found is not None
    assert (found.name, found.wrong, found.refused) == ("haswell", ("Q6_K",), 2)
