"""In bulk, row by row and in two halves the verdict is the same, and the appliance's verifier finds
something wherever the auditor's does. Changes are drawn at random (dice.py), by seed.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from appliance.audit.files import LogFiles
from appliance.audit.verification import findings, indexes, verify
from appliance.audit.verification.entries import ChainCheck
from appliance.audit.verification.findings import VerificationReport
from appliance.audit.verification.verify import verify_log
from appliance.errors import ApplianceError
from auditor.verify_export import Verifier
from tests.audit import dice as changes
from tests.audit.halves import divided
from tests.audit.logs import Intruder, copy
from tests.audit.tampering import World, export_as_it_is, world

pytestmark = pytest.mark.long

ALL = 1 << 20


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("agree"))


def verdict(directory: Path, genesis: bytes, chunk: int) -> VerificationReport | str:
    """The verdict, with every finding kept, in one order."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(verify, "CHUNK", chunk))
        for kept in (findings, indexes):
            stack.enter_context(mock.patch.object(kept, "MAX_FINDINGS", ALL))
        try:
            report = verify_log(directory, genesis_public=genesis)
        except ApplianceError as error:
            return error.code
    told = sorted(report.problems, key=lambda p: (p.seq, p.code, p.message))
    return replace(report, problems=tuple(told))


def verdicts(directory: Path, genesis: bytes, chunk: int) -> list[VerificationReport | str]:
    bulk = verdict(directory, genesis, chunk)
    with mock.patch.object(ChainCheck, "plain", lambda *_: None):
        slow = verdict(directory, genesis, chunk + 1)
    with divided():
        halves = verdict(directory, genesis, chunk)
    return [bulk, slow, halves]


CHUNKS = (1, 3, 8, 64, 2_048)
"""How many rows are checked at once."""
SELDOM = (1, 2, 7, 15, 15)
"""How often each is drawn for a long log, where single rows take a hundred times as long."""


def agree(
    directory: Path, genesis: bytes, dice: random.Random, weights: tuple[int, ...] | None = None
) -> VerificationReport | str:
    (chunk,) = dice.choices(CHUNKS, weights)
    bulk, slow, halves = verdicts(directory, genesis, chunk)
    assert bulk == slow
    assert bulk == halves
    return bulk


def auditor(directory: Path, out: Path, genesis: bytes) -> set[str]:
    try:
        verifier = Verifier(export_as_it_is(directory, out), genesis.decode())
        verifier.run()
    except (OSError, ValueError, OverflowError) as error:
        return {f"export_invalid {error}"}
    return {code for _, code, _ in verifier.problems}


def drawn(honest: World, place: Path, seed: int) -> int:
    dice = random.Random(seed)
    directory = copy(honest.directory, place / f"log{seed}")
    done = changes.change(Intruder(directory), dice, honest.keys)
    report = agree(directory, honest.genesis, dice)
    told = auditor(directory, place / f"out{seed}", honest.genesis)
    found = isinstance(report, str) or not report.ok
    assert found or not told, (seed, done, told)
    return found


def drawn_in_segments(whole: Path, place: Path, seed: int) -> int:
    dice = random.Random(seed)
    directory = copy(whole, place / f"log{seed}")
    files = LogFiles(directory).segments()
    genesis = (whole / "genesis.pub").read_bytes()
    changes.change(Intruder(directory, dice.choice(files)[1]), dice, [])
    report = agree(directory, genesis, dice, SELDOM)
    return isinstance(report, str) or not report.ok


Drawn = Callable[[int], int]


@pytest.fixture(params=["short", "segments"])
def draw(request: pytest.FixtureRequest, honest: World, whole: Path, tmp_path: Path) -> Drawn:
    if request.param == "short":
        return lambda seed: drawn(honest, tmp_path, seed)
    return lambda seed: drawn_in_segments(whole, tmp_path, seed)


def test_the_control_nothing_was_changed(honest: World, whole: Path, tmp_path: Path) -> None:
    for directory in (honest.directory, whole):
        genesis = (directory / "genesis.pub").read_bytes()
        report = agree(directory, genesis, random.Random(1))
        assert not isinstance(report, str)
        assert report.ok, report.problems
        assert auditor(directory, tmp_path / directory.parent.name, genesis) == set()


def test_the_verdicts_agree_on_random_changes(draw: Drawn) -> None:
    assert sum(map(draw, range(6))) > 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(1, 6))
def test_the_verdicts_agree_on_thousands(draw: Drawn, part: int) -> None:
    assert sum(map(draw, range(part * 1_000, part * 1_000 + 400))) > 250
