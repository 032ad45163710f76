"""Certificates: good ones are read again, changed ones are refused by their code."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from appliance.errors import PolicyRefused
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluation import Evaluation
from tests.evals.gates import (
    DAY_US,
    ENGINE,
    EVALUATOR,
    FACTS,
    NOW_US,
    PACKS,
    STRANGER,
    TASK,
    block,
    certificate,
    circumstances,
    edited,
    forged,
    pairs,
    policy,
    wanted,
)
from tests.trust import policies


def code(envelope: bytes, change: policies.Change = lambda d: None) -> str:
    with pytest.raises(PolicyRefused) as caught:
        evaluation.verify(envelope, policy(change))
    return caught.value.code


def use(envelope: bytes, *, new: bool = True, now_us: int = NOW_US, **changes: Any) -> str:
    found = evaluation.verify(envelope, policy())
    task, engine = changes.pop("task", TASK), changes.pop("engine", ENGINE)
    try:
        facts = structs.replace(FACTS, **changes)
        evaluation.check_use(found, task, facts, engine, now_us, policy(), new=new)
    except PolicyRefused as error:
        return error.code
    return ""


def test_what_was_signed_is_read_again() -> None:
    terms = wanted(floors={"": 500_000, "north": 400_000})
    found = evaluation.verify(certificate(terms=terms), policy())
    assert found.wanted == terms and found.person == "Paula"
    assert found.found.verdict == "pass" and found.found.floors == {"": "pass", "north": "pass"}
    assert found.circumstances == circumstances()
    assert use(certificate()) == ""


@pytest.mark.parametrize(
    ("outcomes", "verdict", "result", "tests"),
    [
        (pairs(400, gained=20), "pass", "PASSED", "passedTests"),
        (pairs(400, lost=80), "fail", "FAILED", "failedTests"),
        (pairs(40), "underpowered", "WARNED", "warnedTests"),
    ],
)
def test_each_verdict_is_a_test_result(
    outcomes: Any, verdict: str, result: str, tests: str
) -> None:
    seen: dict[str, Any] = {}
    envelope = forged(certificate(outcomes), seen.update)
    assert seen["predicateType"] == Evaluation.KIND
    assert seen["predicate"]["result"] == result
    assert seen["predicate"][tests] == ["not_worse"]
    names = [each["name"] for each in seen["predicate"]["configuration"]]
    assert names == ["model smol", "dataset orders-data", "specification", "outcomes"]
    assert evaluation.verify(envelope, policy()).found.verdict == verdict
    assert use(envelope) == ("" if verdict == "pass" else "evaluation_not_passed")


def test_packs_are_floors_that_must_be_reached() -> None:
    reached = wanted(packs={"general": 750_000, "refusals": 700_000})
    found = evaluation.verify(certificate(terms=reached), policy())
    assert found.found.packs == PACKS and found.found.verdict == "pass"
    assert use(certificate(terms=reached)) == ""
    missed = certificate(terms=wanted(packs={"general": 760_000}))
    seen: dict[str, Any] = {}
    assert evaluation.verify(forged(missed, seen.update), policy()).found.verdict == "fail"
    assert seen["predicate"]["failedTests"] == ["pack general"]
    named = {each["name"]: each["digest"]["sha256"] for each in seen["predicate"]["configuration"]}
    assert named["pack general"] == PACKS["general"].sha256
    assert use(missed) == "evaluation_not_passed"


def _pack(name: str = "general", **values: Any) -> Any:
    return lambda s: s["predicate"]["evaluation"]["packs"][name].update(values)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (_pack(right=60, items=60), "evaluation_inconsistent"),  # a pass that was a fail
        (_pack(sha256="56" * 32), "evaluation_inconsistent"),
        (block(packs={}), "evaluation_inconsistent"),
        (_pack(right=81), "evaluation_malformed"),
        (_pack(right=0, items=0), "evaluation_malformed"),
        (_pack(right=True), "evaluation_malformed"),
        (_pack(sha256="x"), "evaluation_malformed"),
        (_pack(surprise=1), "evaluation_malformed"),
        (block(packs=[]), "evaluation_malformed"),
        (block(packs={"general": 1}), "evaluation_malformed"),
    ],
)
def test_packs_that_were_tampered_with_are_refused(change: Any, refused: str) -> None:
    missed = certificate(terms=wanted(packs={"general": 760_000}))
    assert code(forged(missed, change)) == refused


def test_who_signed_counts() -> None:
    assert code(certificate(key=STRANGER)) == "evaluator_not_allowed"
    assert code(certificate(key=policies.ALICE)) == "evaluator_not_allowed"
    hint = policies.hint(EVALUATOR)
    assert code(certificate(), policies.put("revoked", "keys", [hint])) == "evaluator_revoked"
    paula = policies.hint(policies.PUBLISHER)
    assert code(certificate(), policies.put("revoked", "keys", [paula])) == "key_revoked"
    assert code(certificate(), policies.put("revoked", "digests", [TASK])) == "digest_revoked"
    without = lambda d: d["roles"].pop("evaluator")  # noqa: E731
    assert code(certificate(), without) == "evaluator_not_allowed"


def test_who_specified_must_be_a_specifier_under_that_name() -> None:
    assert code(certificate(person=STRANGER)) == "specifier_not_allowed"
    assert code(certificate(person=policies.ALICE)) == "specifier_not_allowed"  # signs as Paula
    assert evaluation.verify(certificate(), policy()).person == "Paula"  # the control


def test_validity_is_bounded() -> None:
    for days, refused in ((366, ""), (367, "evaluation_inconsistent"), (36_500, "e")):
        until = circumstances(valid_until_us=NOW_US + days * DAY_US)
        made = certificate(at=until)
        if refused:
            assert code(made) == "evaluation_inconsistent"
        else:
            assert evaluation.verify(made, policy()).found.verdict == "pass"


def test_a_specification_that_its_person_did_not_sign_is_refused() -> None:
    def swap(statement: dict[str, Any]) -> None:
        inner = statement["predicate"]["evaluation"]["specification"]
        inner["signatures"][0]["keyid"] = policies.hint(policies.ALICE)

    assert code(forged(certificate(), swap)) == "evaluation_signature"


def test_no_byte_may_change_under_the_signature() -> None:
    assert code(edited(certificate(), block(lowMicros=0))) == "evaluation_signature"


def _floor(statement: dict[str, Any]) -> None:
    statement["predicate"]["evaluation"]["floors"]["south"] = "pass"


def _subject(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "11" * 32


def _configuration(statement: dict[str, Any]) -> None:
    statement["predicate"]["configuration"][0]["digest"]["sha256"] = "11" * 32


@pytest.mark.parametrize(
    "change",
    [
        block(marginMicros=90_000),
        block(marginMicros=90_000, threshold=-0.09),
        block(threshold=-0.09),
        block(alphaMicros=100_000),
        block(comparator=">="),
        block(metric="normalised_match"),
        block(verdict="fail"),
        block(comparison="fail", verdict="fail", passed=False),
        block(passed=False),
        block(groups=49),
        block(groups=4_000),
        block(lowMicros=-70_000),
        block(lowMicros=100_000, highMicros=90_000),
        block(look=5),
        block(look=0),
        block(looks=400),
        block(merkleRoot="11" * 32),
        block(validUntil="2020-01-01T00:00:00Z"),
        lambda s: s["predicate"].update(result="FAILED"),
        _floor,
        _subject,
        _configuration,
    ],
)
def test_a_statement_that_contradicts_itself_is_refused(change: Any) -> None:
    assert code(forged(certificate(), change)) == "evaluation_inconsistent"


def test_a_failure_made_a_pass_is_refused() -> None:
    def passed(statement: dict[str, Any]) -> None:
        statement["predicate"]["result"] = "PASSED"
        block(verdict="pass", comparison="pass", passed=True)(statement)

    assert code(forged(certificate(pairs(400, lost=80)), passed)) == "evaluation_inconsistent"
    assert code(forged(certificate(pairs(40)), passed)) == "evaluation_inconsistent"


@pytest.mark.parametrize(
    "change",
    [
        block(surprise=1),
        block(merkleRoot="zz"),
        block(verdict="good"),
        block(issued="yesterday"),
        block(issued="2026-02-31T00:00:00Z"),
        block(groups="many"),
        block(groups=True),
        block(groupsNeeded="all"),
        block(specification={}),
        lambda s: s.update(predicateType="https://in-toto.io/attestation/vulns/v0.1"),
        lambda s: s.update(_type="x"),
        lambda s: s["predicate"].pop("evaluation"),
        lambda s: s.pop("predicate"),
    ],
)
def test_a_statement_of_another_form_is_refused(change: Any) -> None:
    assert code(forged(certificate(), change)) == "evaluation_malformed"


def test_what_is_no_envelope_is_refused() -> None:
    assert code(b"{}") == "evaluation_malformed"
    assert code(b" " * (Evaluation.LIMIT + 1)) == "evaluation_malformed"


def test_it_is_for_one_task_model_metric_and_engine() -> None:
    assert use(certificate(), task="11" * 32) == "evaluation_other_task"
    assert use(certificate(), model_digest="11" * 32) == "evaluation_other_task"
    assert use(certificate(), model="other") == "evaluation_other_task"
    assert use(certificate(), metric="field_accuracy") == "evaluation_other_task"
    assert use(certificate(), engine="llama-cpp-python 0.3.37") == "evaluation_other_engine"


OTHER = "llama-cpp-python 0.3.37"


def carried(envelope: bytes, key: Any = EVALUATOR, same: Mapping[str, int] | None = None) -> bytes:
    found = evaluation.verify(envelope, policy())
    return evaluation.carry(envelope, found, OTHER, same or {"": 200}, NOW_US + 5_000_000, key)


def test_it_is_carried_over_with_all_that_it_says() -> None:
    first = certificate(at=circumstances(replay="12" * 32))
    origin, found = evaluation.verify(first, policy()), evaluation.verify(carried(first), policy())
    assert (found.wanted, found.found) == (origin.wanted, origin.found)
    assert found.circumstances.carried_from == origin.id
    assert found.circumstances.valid_until_us == origin.circumstances.valid_until_us
    assert use(carried(first), engine=OTHER) == "" and evaluation.carries(found, origin)
    again = evaluation.verify(carried(carried(first)), policy())
    assert evaluation.carries(again, origin)  # the gate's, however often it was carried
    assert not evaluation.carries(origin, origin) and not evaluation.carries(again, found)
    with pytest.raises(PolicyRefused) as caught:  # nothing is carried over its end
        late = evaluation.carry(first, origin, OTHER, {}, NOW_US + 400 * DAY_US, EVALUATOR)
        evaluation.verify(late, policy())
    assert caught.value.code == "evaluation_inconsistent"


@pytest.mark.parametrize(
    "change", [{"validUntil": "2027-09-20T00:00:00Z"}, {"failures": 1}, {"look": 2}, {"entry": 8}]
)
def test_what_says_more_is_not_carried_over(change: dict[str, Any]) -> None:
    first = certificate()
    other = evaluation.verify(forged(carried(first), block(**change)), policy())
    assert not evaluation.carries(other, evaluation.verify(first, policy()))


def refusal(envelope: bytes) -> str:
    try:
        evaluation.verify(envelope, policy())
    except PolicyRefused as error:
        return error.code
    return ""


def test_the_same_answers_bound_the_change_exactly() -> None:
    assert evaluation.change_micros(200, 50_000) == 14_868  # once nothing was added to the limit
    for groups in (1, 50, 200, 1_000):
        change = evaluation.change_micros(groups, 50_000) / 1e6
        assert (1 - change) ** groups <= 0.05 + 1e-9 < (1 - change + 2e-6) ** groups
    assert evaluation.change_micros(0, 50_000) == 1_000_000


def test_a_pass_is_carried_over_if_it_bears_the_change() -> None:
    """1 point of room: 298 groups bound the change at 1.0001 points, 300 at less."""
    first = certificate(pairs(400, gained=3, lost=4), wanted(margin_micros=40_000))
    found = evaluation.verify(first, policy())
    assert evaluation.rooms(found.wanted, found.found) == {"": 9_999}
    with pytest.raises(PolicyRefused) as caught:
        evaluation.check_changes(found, {"": 298})
    assert caught.value.code == "evaluation_change_unbounded"
    for groups, refused in ((298, "evaluation_change_unbounded"), (300, "")):
        assert refusal(carried(first, same={"": groups})) == refused
    assert code(forged(first, block(unflippedGroups={"": 300}))) == "evaluation_inconsistent"
    older = forged(carried(first), lambda s: s["predicate"]["evaluation"].pop("unflippedGroups"))
    assert refusal(older) == ""  # as it was signed
    assert evaluation.verify(older, policy()).doubtful
    assert not evaluation.verify(carried(first, same={"": 300}), policy()).doubtful


def test_each_floor_bears_the_change_of_its_stratum() -> None:
    first = certificate(pairs(400, gained=20), wanted(floors={"": 600_000, "north": 500_000}))
    found = evaluation.verify(first, policy())
    rooms = evaluation.rooms(found.wanted, found.found)
    assert rooms == {"": 40_000, "north": found.found.floor_lows["north"] - 500_000}
    for same, refused in (
        ({"": 73, "north": 200}, "evaluation_change_unbounded"),
        ({"": 200, "north": 5}, "evaluation_change_unbounded"),
        ({"": 200}, "evaluation_change_unbounded"),
        ({"": 200, "north": 60}, ""),
    ):
        assert refusal(carried(first, same=same)) == refused
    older = forged(first, lambda s: s["predicate"]["evaluation"].pop("floorLowsMicros"))
    assert code(carried(older)) == "evaluation_change_unbounded"  # it tells no limit of its floors
    lower = block(floorLowsMicros={"": 100_000, "north": 900_000})
    assert code(forged(first, lower)) == "evaluation_inconsistent"


def test_digests_of_what_was_carried_are_digests() -> None:
    for change in ({"carriedFrom": "x"}, {"replaySha256": 5}, {"carried": "12" * 32}):
        assert code(forged(certificate(), block(**change))) == "evaluation_malformed"


def test_its_terms_are_not_milder_than_the_tasks() -> None:
    assert use(certificate(), margin_micros=40_000) == "evaluation_other_task"
    assert use(certificate(), alpha_micros=10_000) == "evaluation_other_task"
    assert use(certificate(), floor_micros=500_000) == "evaluation_other_task"
    assert use(certificate(), margin_micros=60_000) == ""  # stricter than asked


def test_it_expires_and_serves_for_a_grace() -> None:
    end = NOW_US + 365 * DAY_US
    assert use(certificate(), now_us=end) == ""
    assert use(certificate(), now_us=end + DAY_US) == "evaluation_expired"
    assert use(certificate(), now_us=end + DAY_US, new=False) == ""
    assert use(certificate(), now_us=end + 31 * DAY_US, new=False) == "evaluation_expired"


def test_a_clock_that_is_set_back_approves_nothing() -> None:
    assert use(certificate(), now_us=NOW_US - DAY_US) == "evaluation_from_future"
    assert use(certificate(), now_us=NOW_US - DAY_US, new=False) == ""  # what serves, serves on
