"""Each way of tampering is reported at the right entry, by both verifiers where both can see it."""

from pathlib import Path
from unittest import mock

import pytest

from appliance.audit import checkpoint
from appliance.audit.checkpoint import Checkpoint, VerifierKey
from appliance.audit.files import LogFiles
from appliance.audit.verification import epochs
from appliance.audit.verification.entries import ChainCheck
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditRefused
from auditor.verify_export import Verifier
from tests.audit.halves import divided
from tests.audit.logs import copy, open_log
from tests.audit.tampering import CASES, SEGMENTS, SIZE, Case, World, export_as_it_is, world

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("tampering"))


@pytest.fixture
def victim_world(honest: World, tmp_path: Path) -> World:
    directory = copy(honest.directory, tmp_path / "log")
    return World(directory, honest.keys, honest.genesis, honest.receipts, honest.image)


def earliest(problems: list[tuple[int, str]]) -> tuple[int, set[str]] | None:
    """The first entry at fault, and its codes."""
    if not problems:
        return None
    seq = min(seq for seq, _ in problems)
    return seq, {code for at, code in problems if at == seq}


def first_finding(it: World) -> tuple[int, set[str]] | None:
    """The same in bulk, row by row, and divided."""
    report = verify_log(it.directory, genesis_public=it.genesis, receipts=it.receipts)
    assert report.ok == (not report.problems)
    with mock.patch.object(ChainCheck, "plain", lambda *_: None):
        slow = verify_log(it.directory, genesis_public=it.genesis, receipts=it.receipts)
    with divided():
        halves = verify_log(it.directory, genesis_public=it.genesis, receipts=it.receipts)
    assert report == slow == halves
    return earliest([(p.seq, p.code) for p in report.problems])


def first_of_the_auditor(it: World, out: Path) -> tuple[int, set[str]] | None:
    verifier = Verifier(export_as_it_is(it.directory, out), it.genesis.decode())
    verifier.run()
    return earliest([(seq, code) for seq, code, _ in verifier.problems])


def test_the_control_an_untouched_log_has_no_finding(victim_world: World, tmp_path: Path) -> None:
    report = verify_log(victim_world.directory, genesis_public=victim_world.genesis)
    assert (report.ok, report.entries) == (True, SIZE)
    assert first_finding(victim_world) is None
    assert first_of_the_auditor(victim_world, tmp_path / "out") is None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_reported_at_the_right_entry(victim_world: World, tmp_path: Path, case: Case) -> None:
    case.do(victim_world)
    found = first_finding(victim_world)
    assert found is not None
    assert case.code in found[1], found
    if case.seq >= 0:
        assert found[0] == case.seq, found
    else:  # where a torn WAL ends is SQLite's to say; that it ended early is ours
        assert found[0] > SIZE
    if case.export is not None:
        told = first_of_the_auditor(victim_world, tmp_path / "out")
        assert told is not None
        assert (told[0], case.export[1] in told[1]) == (case.export[0], True), told


@pytest.mark.parametrize("case", SEGMENTS, ids=str)
def test_29_a_segment_that_went_or_changed_is_reported(
    three: Path, tmp_path: Path, case: Case
) -> None:
    directory = three
    it = World(directory, [], LogFiles(directory).genesis.read_bytes(), [], directory)
    assert first_finding(it) is None
    assert first_of_the_auditor(it, tmp_path / "before") is None
    case.do(it)
    found = first_finding(it)
    assert found is not None
    assert (found[0], case.code in found[1]) == (case.seq, True), found
    if case.export is not None:
        told = first_of_the_auditor(it, tmp_path / "out")
        assert told is not None
        assert (told[0], case.export[1] in told[1]) == (case.export[0], True), told


@pytest.mark.parametrize("case", SEGMENTS[:2], ids=str)
def test_29_a_log_without_its_beginning_or_middle_is_not_continued(three: Path, case: Case) -> None:
    case.do(World(three, [], b"", [], three))
    if case.seq == 0:
        with pytest.raises(AuditRefused):
            open_log(three)
    else:  # older entries are `verify`'s to read
        assert verify_log(three).problems


def test_every_case_of_the_design_is_here_or_named() -> None:
    assert {case.number for case in (*CASES, *SEGMENTS)} | {31} == set(range(1, 32))


def test_11_control_without_the_range_rule_nobody_could_tell(
    victim_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verifier that takes any key of the log for any head lets the newest key rewrite all."""
    (case,) = [c for c in CASES if c.number == 11]
    case.do(victim_world)
    strict = checkpoint.verify
    newest = victim_world.keys[3].public_key().public_bytes_raw()

    def lax(note: bytes, key: VerifierKey) -> Checkpoint:
        try:
            return strict(note, key)
        except AuditRefused:
            return strict(note, VerifierKey(key.name, newest))

    monkeypatch.setattr(epochs, "verify", lax)
    found = verify_log(victim_world.directory).problems
    assert "checkpoint_invalid" not in {p.code for p in found}
