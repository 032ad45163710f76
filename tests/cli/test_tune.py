"""`appliance tune …` without the tuning set, and its output of a result."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.cli import tune
from appliance.client import socket_path
from appliance.config import AuditConfig, Config, TuningConfig
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tests.evals.orders import write_data, write_task
from tests.tuning.example import record, tuned


@contextlib.contextmanager
def serving(lab: LabData) -> Iterator[None]:
    config = Config(tuning=TuningConfig(directory="/nowhere"), audit=AuditConfig(ballast_mib=0))
    with open_services(lab.data, config=config) as services:
        with serve_in_thread(create_admin_app(services), socket_path(lab.data)):
            yield
        socket_path(lab.data).unlink()


def test_without_the_tuning_set_plan_and_run_say_what_to_carry_in(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    task, data = write_task(tmp_path / "task"), write_data(tmp_path / "orders")
    with serving(lab):
        for command in ("plan", "run"):
            done = run("tune", command, task, "--data", data, "--json")
            assert done.status == 1 and done.document["code"] == "tuning_set_missing"
        assert run("job", "list").out.startswith("No jobs. Start one")
        done = run("tune", "run", task, "--data", data, "--method", "dora", "--json")
        assert done.document["code"] == "tuning_method"
        done = run("tune", "run", task, "--data", data, "--set", "rank=0", "--json")
        assert done.document["code"] == "tuning_invalid"
        assert run("tune", "run", task, "--data", data, "--set", "rank").status == 2
        assert run("tune", "show", "99", "--json").status == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("16", 16), ("1e-3", 0.001), ("true", True), ("lora", "lora"), ("-1", -1), ("", "")],
)
def test_values_of_settings(text: str, value: Any) -> None:
    found = tune._plain(text)
    assert found == value and type(found) is type(value)


def test_a_result_is_told_in_words() -> None:
    result = tuned(**{
        "dev": {"metric": "exact_match", "value": 0.9, "interval": [0.85, 0.93], "groups": 150},
        "checks": {
            **record()["checks"], "nll_served": 0.1111, "nll_trained": 0.1122, "stop_token": 1.0,
        },
        "seconds": 361.2,
        "peak_mib": 2048,
        "seeds": [
            {**record()["seeds"][0], "losses": [
                {"step": 1, "loss": 3.0, "dev": None}, {"step": 2, "loss": 1.5, "dev": 1.25},
            ]},
        ],
        "candidates": CANDIDATES,
        "best": "blend",
        "curve": [],
        "more_data_helps": "unknown",
    })  # fmt: skip
    _, quality, served, took, head, row, titles, classifier, model, blend, where = tune._trained(
        result
    )
    assert quality == "exact_match on dev as it serves: 0.900 (0.850 to 0.930), 150 groups"
    assert served.startswith("served as trained: 0.1111 nats a token against 0.1122; 100 %")
    assert took == "361 s, 2048 MiB at the peak"
    assert head.split() == ["SEED", "STEP", "LOSS", "DEV"]
    assert row.split() == ["0", "2", "1.500", "1.2500"] and where.endswith("/adapter")
    assert titles.split()[:4] == ["ON", "DEV", "METRIC", "INTERVAL"]
    assert classifier.split() == ["classifier", "0.700", "0.650", "to", "0.750"]
    assert model.endswith("-0.050 (-0.090 to -0.010)")
    assert blend.startswith("blend, weight 0.45") and blend.endswith("best")
    points = [{"share": 0.5, "rows": 500, "metric": 0.6, "interval": [0.5, 0.7]}]
    lines = tune._trained(result.having(curve=points, more_data_helps="yes"))
    assert "more data would help: yes" in lines and any(line.startswith("50 %") for line in lines)
    part = {"field": "part", "value": 0.8, "interval": [0.7, 0.9], "untuned": 0.1, "stated": 40,
            "stated_value": 0.6, "stated_interval": [0.5, 0.7]}  # fmt: skip
    whole = {"field": "the whole answer", "value": 0.5, "interval": [0.4, 0.6]}
    lines = [" ".join(line.split()) for line in tune._trained(result.having(fields=[part, whole]))]
    assert "part 0.800 0.700 to 0.900 0.600 of 40 0.500 to 0.700 0.100" in lines
    assert "the whole answer 0.500 0.400 to 0.600" in lines


CANDIDATES: list[dict[str, Any]] = [
    {"kind": "classifier", "value": 0.7, "interval": [0.65, 0.75]},
    {"kind": "model", "value": 0.65, "interval": [0.6, 0.7], "difference": -0.05,
     "difference_interval": [-0.09, -0.01]},
    {"kind": "blend", "value": 0.75, "interval": [0.7, 0.8], "weight": 0.45, "difference": 0.05,
     "difference_interval": [0.01, 0.09]},
]  # fmt: skip
