"""The phases of a tuning: the trained file, and the requested curve."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.errors import TuningRefused
from appliance.trust.gguf.lora import vet_lora
from appliance.tuning import phases
from appliance.tuning.messages import FloatMatrix
from appliance.tuning.parameters import TuneWanted
from appliance.tuning.phases import fewer_rows, file_of
from appliance.tuning.settings import TuneSettings
from tests.tuning.runs import order
from tests.tuning.shapes import facts
from tests.tuning.trained import trained

MATRICES = {
    "blk.0.attn_q.weight.lora_a": FloatMatrix((3, 8), np.ones((3, 8), "<f4").tobytes()),
    "blk.0.attn_q.weight.lora_b": FloatMatrix((5, 3), np.ones((5, 3), "<f4").tobytes()),
}


def test_the_file_says_what_it_is_for_and_is_one_that_an_import_accepts() -> None:
    model: Any = SimpleNamespace(facts=facts())
    task = SimpleNamespace(id="orders", version=3)
    subject: Any = SimpleNamespace(loaded=SimpleNamespace(task=task))
    data = file_of(trained(matrices=MATRICES), model, TuneSettings(alpha=6.0), subject)
    lora = vet_lora(data)
    assert (lora.name, lora.architecture, lora.alpha) == ("orders v3", "llama", 6.0)
    assert lora.pairs["blk.0.attn_q.weight"].down == (8, 3)


async def test_a_disk_that_takes_no_directory_ends_it(tmp_path: Path) -> None:
    async def in_thread(work: Any) -> Any:
        return work()

    (tmp_path / "tuning").write_bytes(b"")  # a file where the directory should be
    parts = SimpleNamespace(directory=tmp_path / "tuning")
    run: Any = SimpleNamespace(parts=parts, job=SimpleNamespace(id=7, in_thread=in_thread))
    with pytest.raises(TuningRefused, match="Not a directory") as refused:
        await phases._train(run, order(), "", [])
    assert refused.value.code == "tuning_checkpoint"


async def test_without_a_curve_no_share_is_trained() -> None:
    run: Any = SimpleNamespace(wanted=TuneWanted("/t", "/d"))
    assert await fewer_rows(run, None, []) == []  # type: ignore[arg-type] # nothing is asked
