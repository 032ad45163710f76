"""Second copies of weights: the rule of each variant, against llama.cpp itself, too."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.tensors import TYPES
from appliance.workers import cpu_variants, repacking
from appliance.workers.repacking import copied, loaded, multipliers
from tests.requantised import as_q4_0

QUANTISED = sorted(t.name for t in TYPES.values() if t.bytes * 8 < 16 * t.elements)
KNOWN = sorted(repacking._REPACKED)


KERNELS = {"Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q6_K", "Q8_0"}


@pytest.mark.parametrize(
    ("variant", "twice"),
    [
        ("x64", set()),
        ("sandybridge", set()),
        ("haswell", KERNELS | {"IQ4_NL", "MXFP4"}),
        ("alderlake", KERNELS | {"IQ4_NL", "MXFP4"}),
        ("skylakex", KERNELS | {"IQ4_NL", "MXFP4", "Q2_K"}),
        ("zen4", KERNELS | {"IQ4_NL", "MXFP4", "Q2_K"}),
        ("sapphirerapids", KERNELS | {"IQ4_NL", "MXFP4", "Q2_K", "Q5_K", "IQ4_XS", "F16"}),
    ],
)
def test_what_each_variant_keeps_twice(variant: str, twice: set[str]) -> None:
    assert {t.name for t in TYPES.values() if copied({t.name: 1 << 20}, variant)} == twice


def test_a_kernel_that_is_not_used_leaves_the_copy_to_ggml() -> None:
    assert copied({"Q4_K": 1440, "Q6_K": 800}, "zen4") == 1480 + 800
    assert copied({"Q4_K": 1440, "Q6_K": 800}, "zen4", ("Q4_K", "Q6_K")) == 1440
    assert copied({"Q6_K experts": 800}, "zen4") == 0


def test_an_embedding_that_is_also_the_output_is_there_once_where_one_order_serves_both() -> None:
    assert copied({"Q6_K tied": 800}, "zen4") == 800
    assert loaded(1000, {"Q6_K tied": 800}, "zen4") == 1000
    assert copied({"Q6_K tied": 800}, "sapphirerapids") == 800
    assert loaded(1000, {"Q6_K tied": 800}, "sapphirerapids") == 1000
    assert copied({"MXFP4 tied": 800}, "zen4") == 800  # ggml's order, and the table as it was
    assert loaded(1000, {"MXFP4 tied": 800}, "zen4") == 1800
    assert copied({"Q4_K table": 1440}, "sapphirerapids") == 1480
    assert copied({"Q4_K table": 1440}, "zen4", ("Q4_K",)) == 0
    assert copied({"Q4_K table": 1440, "Q4_K tied": 1440}, "x64") == 0


def test_what_is_not_mapped_is_there_once_in_whatever_order() -> None:
    assert loaded(5000, {"Q4_K": 1440, "Q6_K": 800, "F16 table": 900}, "zen4") == 5040
    assert loaded(5000, {"Q4_K": 1440, "Q6_K": 800}, "x64") == 5000
    assert loaded(5000, {"Q8_0": 340, "Q4_K experts": 1440}, "sapphirerapids") == 5000


def test_amx_takes_what_our_kernels_leave_no_experts_and_pads_some_types() -> None:
    amx = "sapphirerapids"
    assert copied({"Q6_K experts": 800}, amx) == 0
    assert copied({"Q4_K experts": 800, "Q4_K": 1440}, amx) == 800 + 1480
    assert copied({"Q8_0": 340}, amx) == 340
    assert copied({"Q8_0": 340}, amx, ("Q8_0",)) == 380
    assert copied({"Q5_K": 176}, amx) == 180
    assert copied({"Q4_K experts": 800}, "zen4") == 800


@given(st.dictionaries(st.sampled_from(QUANTISED), st.integers(0, 1 << 40)), st.sampled_from(KNOWN))
def test_a_variant_that_nobody_knows_counts_no_less_than_one_without_amx(
    matrices: dict[str, int], variant: str
) -> None:
    unknown = copied(matrices, "of the year 2030")
    assert unknown == copied(matrices, "") >= sum(matrices.values())
    if variant != "sapphirerapids":
        assert copied(matrices, variant) <= unknown


def test_every_variant_of_the_wheel_is_known() -> None:
    """A new llama.cpp with a new variant must be looked at, not guessed about."""
    libraries = cpu_variants.library_directory().glob("libggml-cpu-*.so")
    assert {cpu_variants.name_of(path) for path in libraries} <= set(KNOWN)


LOADS = """
import json, os, sys
from pathlib import Path
from appliance.engine.runner import Library, ModelRunner, RunnerConfig

class Listening(Library):
    def _on_log(self, level, text, data):
        if any(name in text for name in (b"REPACK", b"AMX", b"INTERLEAVED")):
            lines.append(text.decode())

lines = []
library = Listening(Path(sys.argv[1]), int(sys.argv[3]))
ModelRunner(library, os.open(sys.argv[2], os.O_RDONLY), RunnerConfig(128, 1, 1, 16))
print(json.dumps(lines), flush=True)
os._exit(0)
"""


def repacked_mib(variant: Path, model: Path, refused: int = 0) -> float:
    """MiB that llama.cpp says it repacked, in a process of its own; -1 if it does not run here."""
    done = subprocess.run(
        [sys.executable, "-c", LOADS, variant, model, str(refused)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return -1
    buffers = [line for line in json.loads(done.stdout) if "buffer size" in line]
    return sum(float(line.split("=")[1].split()[0]) for line in buffers)


def test_llama_cpp_says_the_same(shallow_path: Path, tmp_path: Path) -> None:
    """Of a model of which some weights are copied and some are not, with two variants."""
    model = as_q4_0(shallow_path, tmp_path / "q4_0.gguf")
    facts = vet(model.read_bytes())
    best = cpu_variants.best_variant(cpu_variants.library_directory())
    ran = 0
    for path in (best, best.with_name("libggml-cpu-x64.so")):
        found = repacked_mib(path, model)
        if found >= 0:
            ran += 1
            wanted = copied(facts.matrices, cpu_variants.name_of(path)) / (1 << 20)
            assert found == pytest.approx(wanted, rel=0.01, abs=0.5)
    assert ran


AMX_HOST = "sapphirerapids"


def test_our_kernels_come_before_amx_in_every_format() -> None:
    for name in KERNELS:
        for variant in ("haswell", "zen4", AMX_HOST):
            assert multipliers({name: 800, "F32 table": 8}, variant) == ("ours",)
        assert multipliers({f"{name} tied": 800}, AMX_HOST) == ("ours",)
    assert multipliers({"F16": 8, "Q4_K": 144, "Q4_K experts": 144}, AMX_HOST) == (
        "ours", "amx", "repacked",
    )  # fmt: skip
    assert multipliers({"F16": 8, "Q4_K": 144}, "zen4") == ("ours", "plain")
    assert multipliers({"Q4_K": 144, "Q8_0": 34}, AMX_HOST, ("Q4_K",)) == ("ours", "amx")
    assert multipliers({"Q4_K": 144}, "x64") == ("plain",)
    assert multipliers({"Q4_K": 144}, "unknown") == ()


MULTIPLIES = """
import ctypes, json, os, sys
from pathlib import Path
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling

library = Library(Path(sys.argv[1]), int(sys.argv[3]))
runner = ModelRunner(library, os.open(sys.argv[2], os.O_RDONLY), RunnerConfig(128, 1, 1, 64))
asked = Sequence(0, list(range(5, 45)), Sampling(), 1, TextStream(), slot=0)
runner.forward([Chunk(asked, 0, 40)])
kernels = ctypes.CDLL(sys.argv[1])
kernels.kernels_paths.restype = ctypes.c_char_p
found = kernels.kernels_multiplied()
names = enumerate(kernels.kernels_paths().decode().split(","))
print(json.dumps([name for i, name in names if found >> i & 1]), flush=True)
os._exit(0)
"""


def multiplied(variant: cpu_variants.Variant, model: Path, wrong: tuple[str, ...] = ()) -> set[str]:
    """Return the paths that a library counts while it computes a prompt, in its own process."""
    refused = replace(variant, wrong=wrong).refused
    done = subprocess.run(
        [sys.executable, "-c", MULTIPLIES, variant.path, model, str(refused)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_the_library_counts_what_is_said_to_multiply(shallow_path: Path, tmp_path: Path) -> None:
    """Of a model that is all ours, one of which half is, and one without any kernel of ours."""
    best = cpu_variants.find_variant(cpu_variants.library_directory())
    if not best.kernels:
        pytest.skip("no kernels of ours on this machine")
    other = as_q4_0(shallow_path, tmp_path / "q4_0.gguf")
    seen = set()
    for model, wrong in ((shallow_path, ()), (other, ("Q4_0",)), (other, best.kernels)):
        found = multiplied(best, model, wrong)
        matrices = vet(model.read_bytes()).matrices
        assert found == set(multipliers(matrices, best.name, wrong)), (model, wrong)
        seen.add(frozenset(found))
    assert len(seen) > 1  # the library tells them apart


def test_a_kernel_that_is_refused_is_not_used(shallow_path: Path, tmp_path: Path) -> None:
    """What it took goes to ggml's own repacking, or stays in the file."""
    model = as_q4_0(shallow_path, tmp_path / "q4_0.gguf")
    best = cpu_variants.find_variant(cpu_variants.library_directory())
    if not best.kernels:
        pytest.skip("no kernels of ours on this machine")
    without = replace(best, wrong=best.kernels)
    found = repacked_mib(best.path, model, without.refused)
    wanted = copied(vet(model.read_bytes()).matrices, best.name, without.wrong) / (1 << 20)
    assert found == pytest.approx(wanted, rel=0.01, abs=0.5)
    assert found != pytest.approx(repacked_mib(best.path, model), rel=0.01)
