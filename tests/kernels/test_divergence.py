"""Words of the default model through each kernel; `benchmarks.divergence` measures more text."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.workers.kernel_check import FORMATS


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FORMATS)
def test_a_model_says_the_same_as_with_exact_products_and_no_worse_than_with_ggml(
    name: str, default_model_path: Path
) -> None:
    command = [sys.executable, "-m", "benchmarks.divergence", "--format", name, "--tokens", "1024"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    found = json.loads(done.stdout)
    ours, ggml = found["ours"], found["ggml"]
    noise = 3 * (ours["error"] ** 2 + ggml["error"] ** 2) ** 0.5
    assert ours["divergence"] <= ggml["divergence"] + noise, found
    share = ggml["equal"]
    assert ours["equal"] >= share - 3 * (2 * share * (1 - share) / ours["tokens"]) ** 0.5, found
