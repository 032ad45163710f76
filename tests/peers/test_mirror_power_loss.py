"""Power is lost at any operation of a mirror: it has every entry that it acknowledged, and its
witness saw them. A batch costs one sync.
"""

import random
import shutil
from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa

from appliance import db
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.peers.mirror import MirrorAsked, MirroredLogs
from appliance.peers.seen_logs import TABLES, SeenLogs
from appliance.peers.witness import Witness
from tests.audit import powerloss, vfs
from tests.audit.powerloss import Op
from tests.peers.appliances import Member, member
from tests.trust import policies

pytestmark = [pytest.mark.long, pytest.mark.durable]
BATCHES, IMAGES = 12, 100
NORMAL, FULL = 1, 2


def opened(place: Path, a: Member, b: Member) -> tuple[MirroredLogs, Witness, sa.Engine]:
    """The mirror of b in a directory."""
    database = open_database(place / "appliance.db", (TABLES,))
    witness = Witness(
        b.reader.origin, bytes(32), {"a": a.keys}, SeenLogs(database), b.clock, b.found.append
    )
    return MirroredLogs(place, witness, b.clock), witness, database


def kept(mirror: MirroredLogs, a: Member, first: int) -> int:
    """Have it keep what is new; the entries that it acknowledged."""
    batch = a.reader.batch(first or None, None if first else 0)
    told = mirror.keep(a.keys.log, MirrorAsked.of("hint", "b", batch), policies.parsed())
    assert told.line
    return told.size


def recorded(place: Path, a: Member, b: Member, synchronous: int) -> list[Op]:
    """Each acknowledgement is noted when the log's appliance would get it."""
    ops: list[Op] = []
    with vfs.noted(ops) as opening, mock.patch.dict(db.PRAGMAS, synchronous=synchronous):
        with opening:
            mirror, _, database = opened(place, a, b)
        size = kept(mirror, a, 0)
        for number in range(BATCHES):
            ops.append(Op("said", data=f"{size} {number}\n".encode()))
            a.write(*(f"{number} {n}" for n in range(1 + number % 3)))
            size = kept(mirror, a, size)
        ops.append(Op("said", data=f"{size} last\n".encode()))
        mirror.close()
        database.dispose()
    return ops


def outcome(place: Path, a: Member, b: Member, bodies: list[bytes], count: int) -> str:
    """`lost` where the mirror has less than `count` entries, or its witness saw less."""
    mirror, witness, database = opened(place, a, b)
    log = a.keys.log
    try:
        entries = mirror.entries(log)
        seen = witness.seen(log).size, mirror.seen(log)[0].size
        if len(entries) < count or seen != (a.reader.size - len(bodies) + len(entries),) * 2:
            return "lost"
        return "kept" if entries == bodies[: len(entries)] else "others"
    finally:
        mirror.close()
        database.dispose()


def outcomes(root: Path, synchronous: int = FULL) -> set[str]:
    clock, dice = FixedClock(), random.Random(1)
    with member(root / "a", "a", clock) as a, member(root / "b", "b", clock) as b:
        place, before, image = (root / name for name in ("mirror", "before", "image"))
        place.mkdir()
        begun = a.reader.size
        recorded(place, a, b, synchronous)  # the files are there
        shutil.copytree(place, before)
        ops = recorded(place, a, b, synchronous)
        bodies = [entry.raw for entry in a.reader.range(begun, 500)]
        found = set()
        for _ in range(IMAGES):
            done = ops[: dice.randrange(len(ops)) + 1]
            said = [size for size, _ in powerloss.said(done)]
            powerloss.image(before, done, dice, image)
            found.add(outcome(image, a, b, bodies, max(said, default=begun) - begun))
            shutil.rmtree(image)
        return found


def test_no_image_loses_what_was_acknowledged(tmp_path: Path) -> None:
    assert outcomes(tmp_path) == {"kept"}


def test_control_with_synchronous_normal_images_lose_it(tmp_path: Path) -> None:
    assert "lost" in outcomes(tmp_path, NORMAL)


def test_a_batch_costs_one_sync(tmp_path: Path) -> None:
    clock = FixedClock()
    with member(tmp_path / "a", "a", clock) as a, member(tmp_path / "b", "b", clock) as b:
        (tmp_path / "mirror").mkdir()
        ops = recorded(tmp_path / "mirror", a, b, FULL)
    said = [place for place, op in enumerate(ops) if op.what == "said"]
    syncs = [op.name for op in ops[said[0] : said[-1]] if op.what == "sync"]
    assert syncs == ["site_mirror.db-wal"] * BATCHES
