"""Pruning the log: approvals, age, copies."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.audit.export import export
from appliance.audit.exported import copied
from appliance.audit.files import LogFiles
from appliance.audit.log import Draft
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from appliance.clock import FixedClock
from appliance.config import parse_config
from appliance.errors import ApplianceError, UsageError
from appliance.trust.statements import approval
from appliance.trust.statements.approval import ApprovalSubject, PrunedEntries, Subject
from tests.audit.segmented import ROWS, fill, open_segments

DAY = 86_400
ACTOR = "uid:1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab whose log has two segments and a bit, all of one day."""
    data = tmp_path_factory.mktemp("retention") / "data"
    initialise(data, "lab", FixedClock())
    with open_segments(data / "audit") as log:
        fill(log, 2 * ROWS + 3)
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def clock() -> FixedClock:
    """A year and a day later."""
    clock = FixedClock()
    clock.advance(366 * DAY)
    return clock


@pytest.fixture
def services(data: Path, clock: FixedClock) -> Iterator[Services]:
    with open_services(data, clock=clock) as opened:
        yield opened


def signed(services: Services, subject: Subject, name: str, key: str = "") -> bytes:
    return approval.sign(
        subject,
        name=name,
        meaning="no longer needed",
        time_us=services.clock.wall_us(),
        private_key=(services.data / "keys" / "lab" / f"{key or name}.pem").read_bytes(),
    )


def approve(services: Services, before: int, *names: str) -> None:
    subject = services.retention.subject(before)
    for name in names:
        services.retention.approve(ACTOR, before, signed(services, subject, name))


def copy_of(services: Services, before: int, out: Path) -> tuple[int, str]:
    export(services.data / "audit", "tiles", out)
    there = copied(out, before)
    return there.first, there.root


def refusal(services: Services, call: Any) -> str:
    """The code of a refusal; no file is gone, and the log says who wanted what."""
    before = LogFiles(services.data / "audit").segments()
    with pytest.raises(ApplianceError) as caught:
        call()
    assert LogFiles(services.data / "audit").segments() == before
    return caught.value.code


def test_two_people_an_exported_copy_and_a_year_take_the_beginning_off(
    services: Services, tmp_path: Path
) -> None:
    approve(services, ROWS, "approver-1", "approver-2")
    exported = copy_of(services, ROWS, tmp_path / "out")
    receipt = services.retention.prune(ACTOR, ROWS, "old", exported=exported)
    entry = services.reader.entry(receipt.seq)
    assert (entry.kind, entry.body["before"], entry.body["reason"]) == ("prune", ROWS, "old")
    assert len(entry.body["approvals"]) == 2  # type: ignore[arg-type]
    assert [s.first for s in services.retention.segments()] == [ROWS, 2 * ROWS]
    report = verify_log(services.data / "audit")
    assert (report.ok, report.first) == (True, ROWS)


def test_what_a_receiver_lacks_does_not_go_unless_a_person_says_so(
    data: Path, clock: FixedClock, tmp_path: Path
) -> None:
    config = parse_config('[forward.siem]\nto = "tcp://127.0.0.1:9"\n')
    with open_services(data, config=config, clock=clock) as services:
        approve(services, ROWS, "approver-1", "approver-2")
        exported = copy_of(services, ROWS, tmp_path / "out")
        retention = services.retention

        def prune(unsent: bool) -> Any:
            return retention.prune(ACTOR, ROWS, "old", exported=exported, unsent=unsent)

        assert refusal(services, lambda: prune(False)) == "prune_unsent"
        receipt = prune(True)
        assert services.reader.entry(receipt.seq).body["unsent"] == ["siem"]
        assert verify_log(services.data / "audit").ok


def test_one_person_twice_is_not_two(services: Services, tmp_path: Path) -> None:
    exported = copy_of(services, ROWS, tmp_path / "out")
    for names in ([], ["approver-1"], ["approver-1"]):
        approve(services, ROWS, *names)
        call = lambda: services.retention.prune(ACTOR, ROWS, "old", exported=exported)  # noqa: E731
        assert refusal(services, call) == "not_approved"
    told = services.reader.search(Query(kind="admin", code="not_approved")).entries
    assert [e.body["action"] for e in told] == ["prune_refused"] * 3


def test_an_approval_of_something_else_is_refused(services: Services) -> None:
    good = services.retention.subject(ROWS)
    others: list[tuple[Subject, str, str, str]] = [
        (PrunedEntries(good.origin, 7, good.root), "approver-1", "", "approval_other_artifact"),
        (PrunedEntries("other/log", ROWS, good.root), "approver-1", "", "approval_other_artifact"),
        (PrunedEntries(good.origin, ROWS, "ab" * 32), "approver-1", "", "approval_other_artifact"),
        (ApprovalSubject(good.root, good.root), "approver-1", "", "approval_other_artifact"),
        (good, "publisher", "", "approver_not_allowed"),
        (good, "approver-2", "approver-1", "approver_name_mismatch"),
    ]  # fmt: skip
    for subject, name, key, code in others:
        envelope = signed(services, subject, name, key)
        call = lambda e=envelope: services.retention.approve(ACTOR, ROWS, e)  # noqa: E731
        assert refusal(services, call) == code
    assert services.reader.search(Query(kind="prune_approval")).entries == []
    told = services.reader.search(Query(kind="admin", newest_first=True, limit=6)).entries
    assert {e.body["action"] for e in told} == {"prune_approval_refused"}


def test_an_approval_for_a_model_is_none_for_a_prune_and_the_other_way_round() -> None:
    one, other = ApprovalSubject("ab" * 32, "cd" * 32), PrunedEntries("o", 1, "ab" * 32)
    assert one.named() != other.named()


def test_entries_stay_for_a_year_and_never_less_than_six_months(
    data: Path, clock: FixedClock
) -> None:
    clock.advance(-2 * DAY)
    with open_services(data, clock=clock) as services:
        assert [s.code for s in services.retention.segments()] == [
            "prune_too_young", "prune_too_young", "prune_boundary",
        ]  # fmt: skip
        assert refusal(services, lambda: services.retention.subject(ROWS)) == "prune_too_young"
    assert parse_config("[audit]\nkeep_days = 184\n").audit.keep_days == 184
    with pytest.raises(UsageError):
        parse_config("[audit]\nkeep_days = 183\n")
    config = parse_config("[audit]\nkeep_days = 184\n")
    clock.now_us = FixedClock().now_us + 184 * DAY * 1_000_000 - 1
    with open_services(data, config=config, clock=clock) as services:
        assert refusal(services, lambda: services.retention.subject(ROWS)) == "prune_too_young"
        clock.advance(1)
        assert services.retention.subject(ROWS).before == ROWS


def test_only_whole_closed_segments_go(services: Services) -> None:
    for before in (1, ROWS - 1, ROWS + 1, 2 * ROWS + 3, 3 * ROWS):
        call = lambda n=before: services.retention.subject(n)  # noqa: E731
        assert refusal(services, call) == "prune_boundary"
    assert services.retention.subject(2 * ROWS).before == 2 * ROWS


def test_what_was_not_copied_does_not_go(services: Services, tmp_path: Path) -> None:
    approve(services, 2 * ROWS, "approver-1", "approver-2")
    first, root = copy_of(services, 2 * ROWS, tmp_path / "out")
    for exported in ((first, "ab" * 32), (first, copied(tmp_path / "out", ROWS).root), (256, root)):
        call = lambda e=exported: services.retention.prune(ACTOR, 2 * ROWS, "x", exported=e)  # noqa: E731
        assert refusal(services, call) == "prune_not_exported"


def test_a_witness_is_not_cut_off(services: Services, tmp_path: Path) -> None:
    def seen(size: int) -> None:
        fields: dict[str, Any] = {"actor": ACTOR, "key": "w", "note": "", "size": size}
        services.audit.append(Draft("witness", fields)).result()

    seen(ROWS + 5)
    assert services.retention.subject(ROWS).before == ROWS
    assert refusal(services, lambda: services.retention.subject(2 * ROWS)) == "prune_unwitnessed"
    seen(2 * ROWS)
    assert services.retention.subject(2 * ROWS).before == 2 * ROWS


def test_an_approver_who_was_revoked_since_does_not_count(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    approve(services, ROWS, "approver-1", "approver-2")
    subject = services.retention.subject(ROWS)
    assert len(services.retention.approvals(subject)) == 2
    policy = services.retention.policy()
    hint = services.retention.approvals(subject)
    keys = {one.key for one in hint.values() if one.name == "approver-1"}
    revoked = dataclasses.replace(policy.revoked, keys=frozenset(keys))
    monkeypatch.setattr(
        services.retention, "policy", lambda: dataclasses.replace(policy, revoked=revoked)
    )
    assert [a.name for a in services.retention.approvals(subject).values()] == ["approver-2"]
