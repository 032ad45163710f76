"""Types of weights by name."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from appliance.errors import TuningRefused
from appliance.tuning.weight_types import BESIDE, NEED_MATRIX, TYPES, UNWEIGHTED, chosen


def test_the_numbers_are_those_of_the_library() -> None:
    spec = find_spec("llama_cpp")  # read, not loaded: the library stays out of this process
    assert spec is not None and spec.origin is not None
    text = (Path(spec.origin).parent / "llama_cpp.py").read_text()
    known = dict(re.findall(r"^LLAMA_FTYPE_MOSTLY_(\w+) = (\d+)", text, re.MULTILINE))
    assert {name: int(known[name]) for name in TYPES} == TYPES
    assert set(TYPES) >= NEED_MATRIX | BESIDE | UNWEIGHTED and not BESIDE & NEED_MATRIX


@pytest.mark.parametrize("names", [(), ("Q8_0", "Q8_0"), ("Q9_9",), ("IQ2_XS",), ("q8_0",)])
def test_what_cannot_be_made_is_refused(names: tuple[str, ...]) -> None:
    assert chosen(["Q8_0", "Q4_0"], False) == {"Q8_0": 7, "Q4_0": 2}
    with pytest.raises(TuningRefused) as refused:
        chosen(names, False)
    assert refused.value.code == "quantize_type"


def test_with_an_importance_matrix_the_lowest_types_can_be_made() -> None:
    assert chosen(["IQ2_XS"], True) == {"IQ2_XS": 20}
