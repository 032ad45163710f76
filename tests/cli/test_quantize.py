"""The output of `quantize`."""

from typing import Any

from appliance.cli.quantize import told
from appliance.wire.admin.results import ModelQuantized

ROW: dict[str, Any] = {
    "type": "Q8_0", "mib": 138.1, "tokens_s": 812.3, "kld": 0.002, "rank": None, "same_top": 0.98,
    "flips": 0.01, "metric": 0.7, "difference": 0.0, "interval": [-0.02, 0.02], "verdict": "pass",
    "reason": "", "kld_plain": None,
}  # fmt: skip
MATRIX = {"rows": 130, "tokens": 7_990}


def test_the_table_suppresses_ranks_within_the_noise_and_names_what_fails() -> None:
    bad = {
        **ROW,
        "type": "Q2_K",
        "kld": 0.46,
        "kld_plain": 0.52,
        "rank": 2,
        "verdict": "fail",
        "reason": "it is worse",
    }
    result = ModelQuantized.model_validate({
        "rows": [ROW, bad],
        "recommended": "Q8_0",
        "source": {"id": "smol", "oms_root": "ab" * 32, "gguf_sha256": "cd" * 32},
        "task": {"id": "orders", "version": 1, "digest": "ef" * 32, "margin": 0.05},
        "adapters": ["smol:orders"],
        "importance_matrix": MATRIX,
    })  # fmt: skip
    head, eight, two, matrix, why, best, adapters = told(result)
    assert head.split()[:3] == ["TYPE", "MIB", "TOKENS/S"]
    assert "noise" in eight and "0.4600" in two and eight.endswith("pass")
    assert (
        "0.5200" in two and eight.split()[4] == "-"
    )  # with and without the matrix, where both were made
    assert matrix == "importance matrix: 7,990 tokens of 130 rows of train"
    assert why == "Q2_K: it is worse" and best == "recommended: Q8_0"
    assert adapters.endswith("smol:orders")
    none = told(result.having(recommended=None, adapters=[], importance_matrix=None))
    assert none[-1].startswith("none") and "no importance matrix" in none
