"""The types of weights that a file can be made into, by llama.cpp's names. Pure.

Rules: names are those on model files; a type that needs an importance matrix is refused without
one.

Source: llama.h, `enum llama_ftype`, as of llama-cpp-python 0.3.36.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from appliance.errors import TuningRefused

TYPES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "F16": 1, "BF16": 32, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_K_S": 16, "Q5_1": 9,
        "Q5_0": 8, "Q4_K_M": 15, "Q4_K_S": 14, "Q4_1": 3, "Q4_0": 2, "IQ4_NL": 25, "IQ4_XS": 30,
        "Q3_K_L": 13, "Q3_K_M": 12, "Q3_K_S": 11, "IQ3_M": 27, "IQ3_S": 26, "IQ3_XS": 22,
        "IQ3_XXS": 23, "Q2_K": 10, "Q2_K_S": 21, "IQ2_M": 29, "IQ2_S": 28, "IQ2_XS": 20,
        "IQ2_XXS": 19, "IQ1_M": 31, "IQ1_S": 24,
    }
)  # fmt: skip
"""By name, llama.cpp's number; from the largest file on, roughly."""
NEED_MATRIX: Final = frozenset(
    {"IQ3_XXS", "IQ3_XS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "Q2_K_S"}
)
BESIDE: Final = frozenset(
    {"IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "Q2_K"}
)
"""Low types that can be made without a matrix, too, so that both are reported."""
UNWEIGHTED: Final = frozenset({"F16", "BF16", "Q8_0"})
"""Types that a matrix does not change."""
FLOATS: Final = frozenset({0, 1, 30})
"""ggml's numbers of the types that hold plain numbers: F32, F16, BF16."""


def chosen(names: Sequence[str], importance: bool) -> dict[str, int]:
    """Numbers of types by name, in the given order. Raises TuningRefused (`quantize_type`).

    Args:
        importance: whether there is an importance matrix.
    """
    if not names or len(set(names)) != len(names):
        raise TuningRefused("quantize_type", "Name at least one type, and each once.")
    for name in names:
        if name in NEED_MATRIX and not importance:
            raise TuningRefused(
                "quantize_type",
                f"{name} needs an importance matrix, from rows of the split train.",
            )
        if name not in TYPES:
            raise TuningRefused("quantize_type", f"There is no type {name[:40]!r}.")
    return {name: TYPES[name] for name in names}
