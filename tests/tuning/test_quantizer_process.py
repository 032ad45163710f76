"""The job's end of the child that quantises."""

import os
from pathlib import Path

import pytest

from appliance.engine.quantized import Order
from appliance.errors import TuningRefused
from appliance.trust.sealed import seal_and_close, write_all
from appliance.tuning.quantizer_process import made_by_child
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.tuning.runs import sealed

Q8_0 = 7


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
    """The descriptors that are open; that of the directory itself is not."""
    return {str(path) for path in Path("/proc/self/fd").iterdir() if path.exists()}
