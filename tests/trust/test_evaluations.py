"""The certificates of an appliance: kept as signed, verified again, found by the task's digest."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.db import open_database
from appliance.errors import PolicyRefused
from appliance.trust import evaluations
from appliance.trust.evaluations import Evaluations
from tests.evals.gates import (
    DAY_US,
    ENGINE,
    EVALUATOR,
    FACTS,
    NOW_US,
    STRANGER,
    TASK,
    certificate,
    circumstances,
    pairs,
    policy,
)
from tests.trust import policies


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Evaluations]:
    database = open_database(tmp_path / "a.db", [evaluations.TABLES])
    yield Evaluations(database, lambda _: None, lambda: NOW_US, ENGINE)
    database.dispose()


def code(action: Callable[[], object]) -> str:
    with pytest.raises(PolicyRefused) as caught:
        action()
    return caught.value.code


def test_without_one_nothing_is_valid(kept: Evaluations) -> None:
    assert code(lambda: kept.valid(TASK, FACTS, policy(), new=True)) == "evaluation_missing"
    assert code(lambda: kept.envelope("x")) == "evaluation_missing"


def test_what_is_kept_is_valid_for_its_task_alone(kept: Evaluations) -> None:
    envelope = certificate()
    added = kept.add(envelope, policy())
    kept.add(envelope, policy())  # twice is once
    assert [c.id for c in kept.valid(TASK, FACTS, policy(), new=True)] == [added.id]
    assert kept.envelope(added.id) == envelope and len(kept.all()) == 1
    assert code(lambda: kept.valid("11" * 32, FACTS, policy(), new=True)) == "evaluation_missing"


def test_what_does_not_hold_is_not_kept(kept: Evaluations) -> None:
    assert code(lambda: kept.add(certificate(key=STRANGER), policy())) == "evaluator_not_allowed"
    assert kept.all() == []


def test_it_is_verified_again_under_the_policy_of_the_day(kept: Evaluations) -> None:
    kept.add(certificate(), policy())
    revoked = policy(policies.put("revoked", "keys", [policies.hint(EVALUATOR)]))
    assert code(lambda: kept.valid(TASK, FACTS, revoked, new=False)) == "evaluator_revoked"
    assert len(kept.all()) == 1  # it stays as evidence


def test_the_newest_stands_first_and_a_bad_one_does_not_count(kept: Evaluations) -> None:
    old = kept.add(certificate(), policy())
    kept.add(certificate(pairs(400, lost=80)), policy())
    later = circumstances(issued_us=NOW_US + 1_000_000, valid_until_us=NOW_US + 9 * DAY_US)
    new = kept.add(certificate(at=later), policy())
    assert [c.id for c in kept.valid(TASK, FACTS, policy(), new=True)] == [new.id, old.id]


def test_another_version_of_the_dataset_makes_it_void(kept: Evaluations) -> None:
    kept.add(certificate(), policy())
    other = Evaluations(kept._database, lambda _: "99" * 32, lambda: NOW_US, ENGINE)
    assert code(lambda: other.valid(TASK, FACTS, policy(), new=True)) == "evaluation_other_dataset"
    same = Evaluations(kept._database, lambda _: "cd" * 32, lambda: NOW_US, ENGINE)
    assert same.valid(TASK, FACTS, policy(), new=True)
