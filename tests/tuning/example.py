"""A finished tuning: its training record, as the job writes it, and its result."""

import math
from typing import Any, Final

from appliance.wire.admin.results import AdapterTuned, TrainingRecord

PLAN: Final[dict[str, Any]] = {
    "rows": 984, "dev": 335, "steps": 62, "tokens": 480_200, "longest": 212, "seconds": 1620.0,
    "memory": "963 MiB (weights 800, server 163)", "settings": {"rank": 16, "rate": 0.001},
}  # fmt: skip
"""The result of a tuning that only plans."""

_LOSSES = [
    {"step": n, "loss": round(0.12 + 2.9 * math.exp(-n / 9) + 0.05 * math.sin(n), 4),
     "dev": round(0.11 + 2.2 * math.exp(-n / 12), 4) if n % 31 == 0 else None}
    for n in range(1, 63)
]  # fmt: skip


def record(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "_type": "https://appliance.invalid/training/v1",
        "base": {"id": "smollm2-135m", "oms_root": "ab" * 32, "gguf_sha256": "cd" * 32},
        "task": {"id": "licences", "version": 1, "digest": "ef" * 32},
        "data": {"digest": "12" * 32, "train": 984, "dev": 335, "rows_sha256": "34" * 32,
                 "dev_sha256": "56" * 32, "taught": 0, "teachers": []},
        "settings": {"method": "lora", "rank": 16, "alpha": 32.0, "rate": 0.001, "epochs": 1.0,
                     "batch": 16, "longest": 768, "tokens": 768, "recompute": False, "seed": 0},
        "seeds": [{"seed": 0, "dev_nats": 0.1243, "best_step": 62, "steps": 62,
                   "train_seconds": 1260.4, "losses": _LOSSES}],
        "seed": 0, "spread_nats": 0.0,
        "dev": {"metric": "exact_match", "value": 0.844, "interval": [0.793, 0.885],
                "groups": 237},
        "checks": {"token_ids": True, "nll_gap": 0.0021, "nll_gap_most": 0.0114,
                   "nll_gap_error": 0.0007, "nll_trained": 0.1243, "nll_served": 0.1264,
                   "greedy_places": 412, "stop_token": 1.0, "base_nll_gap": 0.0018},
        "curve": [
            {"share": 0.25, "rows": 246, "metric": 0.702, "interval": [0.644, 0.756]},
            {"share": 0.5, "rows": 492, "metric": 0.791, "interval": [0.738, 0.838]},
            {"share": 1.0, "rows": 984, "metric": 0.844, "interval": [0.793, 0.885]},
        ],
        "more_data_helps": "yes",
        "doubling": {"doubling": 0.053, "interval": [0.021, 0.087], "groups": 237},
        "candidates": [
            {"kind": "classifier", "value": 0.757, "interval": [0.699, 0.807]},
            {"kind": "model", "value": 0.844, "interval": [0.793, 0.885], "against": "classifier",
             "difference": 0.087, "difference_interval": [0.032, 0.141], "p_value": 4e-05},
            {"kind": "blend", "value": 0.86, "interval": [0.81, 0.898], "weight": 0.62,
             "against": "classifier", "difference": 0.102, "difference_interval": [0.049, 0.154],
             "p_value": 1e-06},
        ],
        "best": "blend",
        "fields": [],
        "threads": 2,
        "versions": {"appliance": "0.1.0", "engine": "llama.cpp b1 haswell", "torch": "2.9.1+cpu"},
        "trained": "2026-11-18T12:20:00Z",
        "seconds": 2280.3, "joules": None, "peak_mib": 2458, "adapter_sha256": "78" * 32,
    }  # fmt: skip
    return {**plain, **changes}


def result(**changes: Any) -> dict[str, Any]:
    """With the losses that measured dev."""
    told = record(**changes)
    del told["_type"]
    told["seeds"] = [
        {**one, "losses": [point for point in one["losses"] if point["dev"] is not None]}
        for one in told["seeds"]
    ]
    answer = "The blend reaches 86 % (81 % to 89.8 %) on dev."
    return {"answer": answer, **told, "adapter": "/srv/appliance/tuning/7/adapter"}


def kept(**changes: Any) -> TrainingRecord:
    return TrainingRecord.model_validate(record(**changes))


def tuned(**changes: Any) -> AdapterTuned:
    return AdapterTuned.model_validate(result(**changes))
