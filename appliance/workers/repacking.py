"""Which weights llama.cpp keeps in another order than the file, by the variant of ggml's CPU
backend. Pure.

Of a mapped file these are second copies.

Source, as of llama-cpp-python 0.3.36, below vendor/llama.cpp: `make_cpu_buft_list` in
src/llama-model.cpp and `weight_buft_supported` in src/llama-model-loader.cpp try our kernels first,
then AMX, then repacking, then the file's own pages. The types that each of them takes are in
ggml/src/ggml-cpu/amx/amx.cpp, `supports_op`, our kernels/weights.cpp, `weights_of`, and
ggml/src/ggml-cpu/repack.cpp, `ggml_repack_get_optimal_repack_type`; how much AMX adds by
amx/mmq.cpp, `get_row_size`; what each variant is built with by ggml/src/CMakeLists.txt,
`ggml_add_cpu_backend_variant`.
"""

from collections.abc import Collection, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from appliance.trust.gguf.matrices import EXPERTS, TABLE, TIED

_AVX2: Final = frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
_AVX512: Final = _AVX2 | {"Q2_K"}
_REPACKED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **dict.fromkeys(("x64", "sse42", "sandybridge", "ivybridge", "piledriver"), frozenset()),
        **dict.fromkeys(("haswell", "alderlake"), _AVX2),
        **dict.fromkeys(("skylakex", "cannonlake", "cascadelake", "icelake"), _AVX512),
        **dict.fromkeys(("cooperlake", "zen4", "sapphirerapids"), _AVX512),
    }
)
"""Types, by variant."""
_INTERLEAVED: Final[Mapping[str, Fraction]] = MappingProxyType(
    {
        **dict.fromkeys(("Q4_0", "Q4_1", "Q5_0", "Q6_K", "Q8_0"), Fraction(1)),
        "Q4_K": Fraction(148, 144),
    }
)
"""Types that our kernels take where there is AVX2, with their growth there: no experts."""
_AMX: Final = frozenset({"sapphirerapids"})
_TILED: Final[Mapping[str, Fraction]] = MappingProxyType(
    {
        "F16": Fraction(1),
        "Q4_0": Fraction(1),
        "Q4_1": Fraction(1),
        "Q8_0": Fraction(34 + 4, 34),
        "Q4_K": Fraction(144 + 4, 144),
        "Q5_K": Fraction(176 + 4, 176),
        "Q6_K": Fraction(1),
        "IQ4_XS": Fraction(136 + 2, 136),
    }
)
"""Types that AMX takes of the rest, with their growth there: no experts, no tables."""
_NEVER: Final = frozenset({"F32", "F64", "BF16"})
OURS, AMX, REPACKED, PLAIN = "ours", "amx", "repacked", "plain"
"""Ways to multiply weights, by the names that a CPU library counts them under (`kernels_paths`)."""


def copied(matrices: Mapping[str, int], variant: str, wrong: Collection[str] = ()) -> int:
    """Bytes of the weights in another order.

    Args:
        matrices: bytes of weights by type and use (`trust.gguf.matrices`).
        variant: of the CPU backend. For an unknown one, or "" for none, all weights count that
            could be: too much rather than too little.
    """
    return sum(sum(_orders(name, size, variant, wrong)) for name, size in matrices.items())


def loaded(
    file_bytes: int, matrices: Mapping[str, int], variant: str, wrong: Collection[str] = ()
) -> int:
    """Bytes of all weights of a file that is not mapped, each once; arguments as `copied`."""
    moved = sum(
        size
        for name, size in matrices.items()
        if all(_orders(name, size, variant, wrong))  # a tied embedding may stay as a table
    )
    return file_bytes - moved + copied(matrices, variant, wrong)


def multipliers(
    matrices: Mapping[str, int], variant: str, wrong: Collection[str] = ()
) -> tuple[str, ...]:
    """All that multiplies with the weights of a model; arguments as `copied`; none for an unknown
    variant.
    """
    if variant not in _REPACKED:
        return ()
    groups = (name.partition(" ") for name in matrices)
    found = {
        _path(kind, variant, wrong, experts=use == EXPERTS.strip())
        for kind, _, use in groups
        if use != TABLE.strip()
    }
    return tuple(path for path in (OURS, AMX, REPACKED, PLAIN) if path in found)


def _orders(name: str, size: int, variant: str, wrong: Collection[str]) -> tuple[int, ...]:
    """The bytes of one group in each order but that of the file; 0 where a use has no other."""
    kind, _, use = name.partition(" ")
    table = _interleaved(kind, size, variant, wrong)
    if use == TABLE.strip():
        return (table,)
    product = _product(kind, size, variant, wrong, experts=use == EXPERTS.strip())
    if use != TIED.strip():
        return (product,)
    # One tensor serves both uses where both want the same order, and two where they do not.
    return (product,) if table else (product, table)


def _interleaved(kind: str, size: int, variant: str, wrong: Collection[str]) -> int:
    if kind not in _INTERLEAVED or kind in wrong or not _REPACKED.get(variant, _AVX2):
        return 0
    return int(size * _INTERLEAVED[kind])


def _product(kind: str, size: int, variant: str, wrong: Collection[str], *, experts: bool) -> int:
    if variant not in _REPACKED:
        return 0 if kind in _NEVER else int(size * (1 if experts else _INTERLEAVED.get(kind, 1)))
    path = _path(kind, variant, wrong, experts=experts)
    if path == OURS:
        return _interleaved(kind, size, variant, wrong)
    if path == AMX:
        return int(size * _TILED[kind])
    return size if path == REPACKED else 0


def _path(kind: str, variant: str, wrong: Collection[str], *, experts: bool) -> str:
    """The first that takes a matrix, in llama.cpp's order."""
    if not experts and _interleaved(kind, 1, variant, wrong):
        return OURS
    if not experts and variant in _AMX and kind in _TILED:
        return AMX
    return REPACKED if kind in _REPACKED[variant] else PLAIN
