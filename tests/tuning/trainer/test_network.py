"""The decoder against llama.cpp, on text: both compute the same model from one file."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from appliance.trust.bytes.sealed import seal_and_close
from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.reader import MAX_METADATA
from appliance.tuning import checks
from appliance.tuning.messages import BaseLosses
from appliance.tuning.rows import TokenRow
from appliance.tuning.served import serving
from appliance.tuning.training import held
from appliance.workers.cpu_variants import HostVariant
from tests.tuning.runs import only, order, run

pytestmark = [pytest.mark.tune, pytest.mark.timeout(900)]


async def compared(path: Path, tuning_set: Path, notices: Path) -> checks.Gap:
    """Loss of both sides on the beginnings of licence notices."""
    sealed = seal_and_close(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path.name)
    with path.open("rb") as file:
        facts = vet(file.read(MAX_METADATA), path.stat().st_size)
    model: Any = SimpleNamespace(sealed=sealed, facts=facts)
    items = [msgspec.json.decode(line) for line in notices.read_bytes().splitlines()[::400]]
    async with serving(model, 128, HostVariant().get(), 1) as served:
        texts = [(await served.text(item["input"]["text"]))[:60] for item in items]
        rows = tuple(TokenRow(str(n), t[:1], t[1:]) for n, t in enumerate(texts) if len(t) > 9)
        theirs = await served.scores(rows)
    few = order(1, frozen=rows, trial=1)
    (base,) = only(BaseLosses, await run(sealed, few, tuning_set))
    sealed.close()
    assert isinstance(base, BaseLosses)
    return checks.gap(held(base.scores), theirs)


async def test_llama(default_model_path: Path, tuning_set: Path, licences_path: Path) -> None:
    found = await compared(default_model_path, tuning_set, licences_path)
    checks.check_gap(found, "SmolLM2")
    assert found.error < 0.03 < 1 < found.trained


async def test_qwen2(small_qwen_path: Path, tuning_set: Path, licences_path: Path) -> None:
    found = await compared(small_qwen_path, tuning_set, licences_path)
    checks.check_gap(found, "Qwen2.5")
    assert found.error < 0.03 < 0.5 < found.trained


def test_torch_is_not_loaded_into_this_process() -> None:
    assert "torch" not in sys.modules
