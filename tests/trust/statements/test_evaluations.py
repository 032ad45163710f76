"""The certificates of an appliance: kept as signed, verified again, found by the task's digest."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.db import open_database
from appliance.errors import PolicyRefused
from appliance.trust.statements import evaluation, evaluations
from appliance.trust.statements.evaluations import Evaluations
from tests.evals.gates import (
    DAY_US,
    ENGINE,
    EVALUATOR,
    FACTS,
    NOW_US,
    STRANGER,
    TASK,
    block,
    certificate,
    circumstances,
    forged,
    pairs,
    policy,
)
from tests.trust import policies


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Evaluations]:
    database = open_database(tmp_path / "a.db", [evaluations.TABLES, evaluations.REPLAYS])
    yield Evaluations(database, lambda _: None, lambda: NOW_US, lambda: ENGINE)
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
    other = Evaluations(kept._database, lambda _: "99" * 32, lambda: NOW_US, lambda: ENGINE)
    assert code(lambda: other.valid(TASK, FACTS, policy(), new=True)) == "evaluation_other_dataset"
    same = Evaluations(kept._database, lambda _: "cd" * 32, lambda: NOW_US, lambda: ENGINE)
    assert same.valid(TASK, FACTS, policy(), new=True)


OTHER, ANSWERS, SAME = "llama-cpp-python 0.3.37", b'{"i1":"ab"}', {"": 200}


def replayed(**changes: Any) -> bytes:
    digest = hashlib.sha256(ANSWERS).hexdigest()
    return certificate(at=circumstances(replay=digest, **changes))


def test_what_another_engine_answers_the_same_is_carried_over(kept: Evaluations) -> None:
    first = kept.add(replayed(), policy())
    kept.engine_of = lambda: OTHER
    assert code(lambda: kept.valid(TASK, FACTS, policy(), new=False)) == "evaluation_other_engine"
    assert code(lambda: kept.carriable(TASK, FACTS, policy())) == "evaluation_no_replay"
    kept.keep_replay(first.id, ANSWERS)
    kept.keep_replay(first.id, b"twice is once")
    envelope, found, answers = kept.carriable(TASK, FACTS, policy())
    assert (found, answers) == (first, ANSWERS)
    second = kept.add(evaluation.carry(envelope, found, OTHER, SAME, NOW_US, EVALUATOR), policy())
    assert [c.id for c in kept.valid(TASK, FACTS, policy(), new=True)] == [second.id]
    kept.engine_of = lambda: "llama-cpp-python 0.3.38"  # and once more, with the same answers
    _, again, answers = kept.carriable(TASK, FACTS, policy())
    assert again.circumstances.replay == first.circumstances.replay and answers == ANSWERS


def test_what_does_not_hold_is_not_carried_over(kept: Evaluations) -> None:
    late = kept.add(
        replayed(issued_us=NOW_US - 9 * DAY_US, valid_until_us=NOW_US - DAY_US), policy()
    )
    kept.keep_replay(late.id, ANSWERS)
    failed = kept.add(certificate(pairs(400, lost=80)), policy())
    kept.keep_replay(failed.id, ANSWERS)
    other = kept.add(certificate(at=circumstances(replay="12" * 32, look=2)), policy())
    kept.keep_replay(other.id, ANSWERS)  # not what was signed
    kept.engine_of = lambda: OTHER
    assert code(lambda: kept.carriable(TASK, FACTS, policy())) == "evaluation_no_replay"


def test_a_carried_one_says_what_the_gate_said(kept: Evaluations) -> None:
    kept.engine_of = lambda: OTHER
    envelope = replayed()
    first = evaluation.verify(envelope, policy())
    carried = evaluation.carry(envelope, first, OTHER, SAME, NOW_US, EVALUATOR)
    kept.add(carried, policy())
    assert code(lambda: kept.valid(TASK, FACTS, policy(), new=True)) == "evaluation_missing"
    kept.add(forged(carried, block(failures=3)), policy())
    kept.add(envelope, policy())
    valid = kept.valid(TASK, FACTS, policy(), new=True)
    assert len(valid) == 1 and valid[0].found == first.found  # the forged one does not count
