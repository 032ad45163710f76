"""Power is lost at any operation of the writer: nothing that was acknowledged is lost (case 40)."""

import random
import shutil
from pathlib import Path

import pytest

from appliance.audit.reader import LogReader
from appliance.audit.verify import verify_log
from appliance.errors import ApplianceError
from tests.audit import powerloss
from tests.audit.logs import copy, new_log, open_log


def outcome(directory: Path, promised: list[tuple[int, str]]) -> str:
    """`kept`, `lost` or `refused`."""
    try:
        open_log(directory).close()
        report = verify_log(directory)
    except ApplianceError:
        return "refused"
    assert report.ok, report.problems
    assert report.open_intents == 0
    reader = LogReader(directory)
    try:
        kept = [(seq, reader.entry(seq).leaf.hex()) for seq, _ in promised]
    except ApplianceError:
        return "lost"
    finally:
        reader.close()
    return "kept" if kept == promised else "lost"


def outcomes(tmp_path: Path, mode: str, images: int) -> dict[str, int]:
    directory = new_log(tmp_path / "log")
    before = copy(directory, tmp_path / "before")
    ops = powerloss.record(directory, mode)
    assert {"write", "sync", "said"} <= {op.what for op in ops}
    assert len(powerloss.said(ops)) == 20
    dice = random.Random(11)
    found: dict[str, int] = {}
    for number in range(images):
        # Every point in turn, then again with other dice.
        done = (
            ops[: number % len(ops) + 1] if images >= len(ops) else ops[: dice.randrange(len(ops))]
        )
        place = tmp_path / "image"
        powerloss.image(before, done, dice, place)
        verdict = outcome(place, powerloss.said(done))
        found[verdict] = found.get(verdict, 0) + 1
        shutil.rmtree(place)
    return found


def test_40_no_image_loses_what_was_acknowledged(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "twenty", 200) == {"kept": 200}


def test_40_control_without_syncs_images_lose_it(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "unsynced", 100)
    assert found.get("lost", 0) + found.get("refused", 0) > 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_40_ten_thousand_images(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "twenty", 10_000) == {"kept": 10_000}
