"""Power is lost at any operation of the writer: no acknowledged entry is lost (case 40)."""

import random
import shutil
from pathlib import Path

import pytest

from appliance.audit.reader import LogReader
from appliance.audit.verification.verify import verify_log
from appliance.errors import ApplianceError
from tests.audit import powerloss, vfs
from tests.audit.logs import copy, new_log, open_log
from tests.audit.powerloss import Op

pytestmark = [pytest.mark.long, pytest.mark.durable]


def outcome(directory: Path, promised: list[tuple[int, str]]) -> str:
    """`kept`, `lost`, the refusal, or the verification's findings."""
    try:
        open_log(directory).close()
        report = verify_log(directory)
    except ApplianceError as error:
        return f"refused: {error.code}, {error.message}"
    if not report.ok:
        return f"damaged: {report.problems}"
    assert report.open_intents == 0
    reader = LogReader(directory)
    try:
        kept = [(seq, reader.entry(seq).leaf.hex()) for seq, _ in promised]
    except ApplianceError:
        return "lost"
    finally:
        reader.close()
    return "kept" if kept == promised else "lost"


def outcomes(before: Path, ops: list[Op], place: Path, images: int, seed: int) -> dict[str, int]:
    """Power goes at each operation in turn, then at any."""
    assert {"write", "sync", "said"} <= {op.what for op in ops}
    assert len(powerloss.said(ops)) == 20
    dice = random.Random(seed)
    found: dict[str, int] = {}
    for number in range(images):
        at = number if images >= len(ops) > number else dice.randrange(len(ops))
        done = ops[: at + 1]
        powerloss.image(before, done, dice, place)
        verdict = outcome(place, powerloss.said(done))
        found[verdict] = found.get(verdict, 0) + 1
        shutil.rmtree(place)
    return found


def through_vfs(
    tmp_path: Path, images: int, synchronous: str = "FULL", seed: int = 1
) -> dict[str, int]:
    directory = new_log(tmp_path / "log")
    before = copy(directory, tmp_path / "before")
    ops = vfs.record(directory, 10, synchronous)
    return outcomes(before, ops, tmp_path / "image", images, seed)


def through_trace(tmp_path: Path, images: int, mode: str) -> dict[str, int]:
    directory = new_log(tmp_path / "log")
    before = copy(directory, tmp_path / "before")
    ops = powerloss.record(directory, mode)
    return outcomes(before, ops, tmp_path / "image", images, 11)


def test_40_no_image_loses_what_was_acknowledged(tmp_path: Path) -> None:
    assert through_vfs(tmp_path, 100) == {"kept": 100}


def test_40_control_with_synchronous_normal_images_lose_it(tmp_path: Path) -> None:
    found = through_vfs(tmp_path, 60, "NORMAL")
    assert found.get("kept", 0) < 55


def test_40_the_same_from_a_trace_of_the_process(tmp_path: Path) -> None:
    """The kernel's view of the real driver."""
    assert through_trace(tmp_path, 60, "twenty") == {"kept": 60}


def test_40_control_without_syncs_the_trace_loses_it(tmp_path: Path) -> None:
    found = through_trace(tmp_path, 60, "unsynced")
    assert found.get("kept", 0) < 55


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_40_ten_thousand_images(tmp_path: Path, part: int) -> None:
    """A thousand each time: the first go through every operation, others begin anywhere."""
    assert through_vfs(tmp_path, 1_000, seed=part) == {"kept": 1_000}
