"""A plan: a few real steps and rows are measured, and nothing is trained or kept."""

from pathlib import Path

import pytest

from appliance.app import Services
from tests.tuning.runs import SETTINGS, tuned

pytestmark = [pytest.mark.tune, pytest.mark.timeout(900)]


async def test_the_plan_measures_and_trains_nothing(
    opened: Services, task: Path, orders: Path
) -> None:
    before = sorted((opened.data / "tuning").rglob("*"))
    asked = {"task": str(task), "data": str(orders), "dev": 12, "settings": SETTINGS}
    result = await tuned(opened, {**asked, "plan": True})
    assert result["steps"] == 16 and result["rows"] == 64 and result["seconds"] > 0
    assert 0 < result["trainer_peak_mib"] < result["memory_mib"]
    assert sorted((opened.data / "tuning").rglob("*")) == before
