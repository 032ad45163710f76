"""Memory of a tuning, before a row is read."""

from pathlib import Path
from typing import Any

from appliance.tuning import served
from appliance.tuning.services import TuningParts
from appliance.tuning.settings import TuneSettings
from appliance.workers.cpu_variants import Variant
from tests.tuning.shapes import facts

VARIANT = Variant(Path("/nowhere/libggml-cpu-haswell.so"))
ANY: Any = None


def parts() -> TuningParts:
    return TuningParts(
        Path("/d"), ANY, Path("/s"), ANY, ANY, lambda: VARIANT, "engine", 1, ANY, ANY
    )


def test_memory_is_the_trainer_and_the_larger_of_the_two_workers() -> None:
    found = parts().memory(facts(), TuneSettings())
    assert found.total == found.trainer + found.server
    plain = served.memory(facts(), 768, VARIANT, 0).total
    assert found.server > plain  # an adapter lies beside the base
    larger = parts().memory(facts(), TuneSettings(rank=64))
    assert larger.server > found.server and larger.trainer > found.trainer
