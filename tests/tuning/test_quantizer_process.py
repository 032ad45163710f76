"""The job's end of the child that quantises."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.engine.quantized import Collect, Order, Result
from appliance.errors import TuningRefused
from appliance.trust.bytes.sealed import SealedFile, seal_and_close, write_all
from appliance.tuning.quantizer_process import collected_by_child, made_by_child
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.fuzz import tiny_models
from tests.minilm import Floats, write_gguf
from tests.tuning.runs import sealed

Q8_0, Q3_K_M, Q2_K_S = 7, 12, 21
TEXTS = [[1, 261, 262, 263, 264], [1, 261, 270, 271], [1, 261, 265]]
SHARED = 2
"""Tokens that the texts begin with."""


async def refusal(base: Path | bytes) -> TuningRefused:
    if isinstance(base, Path):
        source = sealed(base)
    else:
        fd = os.memfd_create("base", os.MFD_CLOEXEC)
        write_all(fd, memoryview(base))
        source = seal_and_close(fd, "base")
    before = _open()
    order = Order(Q8_0, 1, [], 0, 4 << 30, 1 << 30)
    with pytest.raises(TuningRefused) as refused:
        await made_by_child(source, order, best_variant(library_directory()))
    assert _open() == before  # nothing is left open
    source.close()
    return refused.value


async def test_llama_cpp_refuses_a_quantised_source_by_itself(default_model_path: Path) -> None:
    refused = await refusal(default_model_path)
    assert refused.code == "quantize_failed" and "disabled" in str(refused)


async def test_what_is_no_model_is_refused_with_the_words_of_llama_cpp() -> None:
    refused = await refusal(b"no model " * 100)
    assert refused.code == "quantize_failed" and "magic" in str(refused)


def _open() -> set[str]:
    """Open descriptors, without the directory's."""
    return {str(path) for path in Path("/proc/self/fd").iterdir() if path.exists()}


@pytest.fixture
def weights() -> dict[str, Floats]:
    random = np.random.default_rng(9)
    return {
        str(tensor.name): (
            random.standard_normal(tensor.shape[::-1]) * 0.1 + ("norm" in tensor.name)
        ).astype(np.float32)
        for tensor in tiny_models.llama().tensors
    }


def written(path: Path, weights: dict[str, Floats]) -> Path:
    """With these weights and the vocabulary of the tiny model."""
    pairs = tiny_models.llama().pairs
    return write_gguf(path, {k: v for k, v in pairs.items() if isinstance(k, str)}, weights)


@pytest.fixture
def tiny(tmp_path: Path, weights: dict[str, Floats]) -> Iterator[SealedFile]:
    found = sealed(written(tmp_path / "tiny.gguf", weights))
    yield found
    found.close()


async def matrix_of(base: SealedFile) -> dict[str, bytes]:
    order = Collect(1, TEXTS, SHARED, 4 << 30, 1 << 30)
    return await collected_by_child(base, order, best_variant(library_directory()))


async def made(base: SealedFile, ftype: int, **more: Any) -> tuple[bytes, Result]:
    order = Order(ftype, 1, TEXTS, SHARED, 4 << 30, 1 << 30, **more)
    fd, result = await made_by_child(base, order, best_variant(library_directory()))
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return file.read(), result


async def test_an_importance_matrix_is_what_the_weights_were_given(
    tiny: SealedFile, weights: dict[str, Floats]
) -> None:
    found = await matrix_of(tiny)
    linear = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    assert set(found) == {f"blk.{n}.{name}.weight" for n in range(2) for name in linear}
    tokens = [*TEXTS[0], *(token for text in TEXTS[1:] for token in text[SHARED:])]
    given = weights["token_embd.weight"][tokens]
    given /= np.sqrt((given**2).mean(axis=1, keepdims=True) + 1e-5)
    given *= weights["blk.0.attn_norm.weight"]
    for name in linear[:3]:
        values = np.frombuffer(found[f"blk.0.{name}.weight"], "<f4")
        assert values == pytest.approx((given**2).mean(axis=0), rel=1e-3)
    assert len(found["blk.1.ffn_down.weight"]) == 4 * tiny_models.FF


async def test_files_with_a_matrix_are_the_same_bytes_twice_and_others_than_without(
    tiny: SealedFile,
) -> None:
    matrix = await matrix_of(tiny)
    one, result = await made(tiny, Q3_K_M, matrix=matrix, beside=True)
    again, _ = await made(tiny, Q3_K_M, matrix=await matrix_of(tiny))
    plain, alone = await made(tiny, Q3_K_M)
    assert one == again != plain and len(one) == len(plain)
    assert result.compared and result.plain == alone.compared and alone.plain is None
    assert result.compared != result.plain
    low, _ = await made(tiny, Q2_K_S, matrix=matrix)
    assert len(low) < len(plain)
    with pytest.raises(TuningRefused) as refused:
        await made(tiny, Q2_K_S)
    assert refused.value.code == "quantize_failed" and "imatrix" in str(refused.value)


async def test_a_model_whose_inputs_are_no_numbers_has_no_matrix(
    tmp_path: Path, weights: dict[str, Floats]
) -> None:
    weights["token_embd.weight"][:] = np.nan
    bad = sealed(written(tmp_path / "bad.gguf", weights))
    with pytest.raises(TuningRefused, match="not finite") as refused:
        await matrix_of(bad)
    bad.close()
    assert refused.value.code == "quantize_failed"
