"""What `quantize` shows."""

from typing import Any

from appliance.cli.quantize import told

ROW: dict[str, Any] = {
    "type": "Q8_0", "mib": 138.1, "tokens_s": 812.3, "kld": 0.002, "rank": None, "same_top": 0.98,
    "flips": 0.01, "metric": 0.7, "difference": 0.0, "interval": [-0.02, 0.02], "verdict": "pass",
    "reason": "",
}  # fmt: skip


def test_the_table_suppresses_ranks_within_the_noise_and_names_what_fails() -> None:
    bad = {
        **ROW,
        "type": "Q2_K",
        "kld": 0.46,
        "rank": 2,
        "verdict": "fail",
        "reason": "it is worse",
    }
    result = {"rows": [ROW, bad], "recommended": "Q8_0", "adapters": ["smol:orders"]}
    head, eight, two, why, best, adapters = told(result)
    assert head.split()[:3] == ["TYPE", "MIB", "TOKENS/S"]
    assert "noise" in eight and "0.4600" in two and eight.endswith("pass")
    assert why == "Q2_K: it is worse" and best == "recommended: Q8_0"
    assert adapters.endswith("smol:orders")
    assert told({**result, "recommended": None, "adapters": []})[-1].startswith("none")
