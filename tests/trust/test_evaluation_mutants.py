"""Each check of a certificate is needed: without it, its case is not refused so."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from msgspec import structs

from appliance.errors import ApplianceError
from appliance.trust.statements import evaluation
from appliance.trust.statements.specification import Specification
from tests.evals.gates import (
    DAY_US,
    ENGINE,
    FACTS,
    NOW_US,
    STRANGER,
    TASK,
    block,
    certificate,
    circumstances,
    edited,
    forged,
    pairs,
    policy,
    signed,
    wanted,
)
from tests.trust import policies
from tests.trust.test_mutants import function, mutated

Attempt = Callable[[], object]


class Case(NamedTuple):
    attempt: Attempt
    code: str
    where: str
    source: str
    by: str = "False"


def _verify(envelope: bytes, change: policies.Change = lambda d: None) -> Attempt:
    return lambda: evaluation.verify(envelope, policy(change))


def _use(now_us: int = NOW_US, engine: str = ENGINE, *, new: bool = True, **facts: Any) -> Attempt:
    task = facts.pop("task", TASK)
    outcomes = facts.pop("outcomes", None)

    def used() -> None:
        found = evaluation.verify(certificate(outcomes), policy())
        evaluation.check_use(
            found, task, structs.replace(FACTS, **facts), engine, now_us, policy(), new=new
        )

    return used


def _specified(envelope: bytes) -> Attempt:
    return lambda: Specification.verify(envelope, policy())


def _revoked(key: Any) -> policies.Change:
    return policies.put("revoked", "keys", [policies.hint(key)])


def _passed(statement: dict[str, Any]) -> None:
    statement["predicate"]["result"] = "PASSED"
    block(verdict="pass", comparison="pass", passed=True)(statement)


INCONSISTENT = "evaluation_inconsistent"
CASES: dict[str, Case] = {
    "a revoked specifier": Case(
        _verify(certificate(), _revoked(policies.PUBLISHER)), "key_revoked",
        "policy.TrustPolicy.specifier", "hint in self.revoked.keys",
    ),
    "a stranger as specifier": Case(
        _verify(certificate(person=STRANGER)), "specifier_not_allowed",
        "evaluation.verify", "policy.specifier(certificate.specifier, certificate.person)", "None",
    ),
    "a validity of years": Case(
        _verify(
            certificate(at=circumstances(valid_until_us=NOW_US + 36_500 * DAY_US))
        ), INCONSISTENT,
        "evaluation._check", "at.valid_until_us - at.issued_us <= MOST_VALID_US", "True",
    ),
    "a stranger as evaluator": Case(
        _verify(certificate(key=STRANGER)), "evaluator_not_allowed",
        "policy.TrustPolicy._actor", "hint not in self.roles[role].keys",
    ),
    "a byte under the signature": Case(
        _verify(edited(certificate(), block(sampleSize=401))), "evaluation_signature",
        "statement.Opened.signed_by", "dsse.signers(", "(lambda *_: 0)(",
    ),
    "a revoked digest": Case(
        _verify(certificate(), policies.put("revoked", "digests", [TASK])), "digest_revoked",
        "evaluation.verify", "wanted.task_digest, ", "",
    ),
    "another margin": Case(
        _verify(forged(certificate(), block(marginMicros=90_000))), INCONSISTENT,
        "evaluation._check", "told == terms", "True",
    ),
    "another subject": Case(
        _verify(
            forged(certificate(), lambda s: s["subject"][0]["digest"].update(sha256="11" * 32))
        ),
        INCONSISTENT, "evaluation._check",
        "== (named(wanted.task, wanted.task_digest),)", "is not None",
    ),
    "another result": Case(
        _verify(forged(certificate(), lambda s: s["predicate"].update(result="FAILED"))),
        INCONSISTENT, "evaluation._check",
        "said.test.result == RESULTS[found.verdict]", "True",
    ),
    "another digest": Case(
        _verify(forged(certificate(), block(merkleRoot="11" * 32))), INCONSISTENT,
        "evaluation._check", "== _configuration(wanted, found, said.specification.id)",
        "is not None",
    ),
    "a look beyond the budget": Case(
        _verify(forged(certificate(), block(look=5))), INCONSISTENT,
        "evaluation._check", "1 <= at.look <= wanted.looks", "True",
    ),
    "too few groups called a pass": Case(
        _verify(forged(certificate(pairs(40, gained=9)), _passed)), INCONSISTENT,
        "evaluation._follows", "found.groups >= FEWEST_GROUPS", "True",
    ),
    "a failure called a pass": Case(
        _verify(forged(certificate(pairs(400, lost=80)), _passed)), INCONSISTENT,
        "evaluation._follows", "found.low_micros > -wanted.margin_micros - COARSE", "True",
    ),
    "another task": Case(
        _use(task="11" * 32), "evaluation_other_task",
        "evaluation.check_use", "wanted.task_digest != task_digest",
    ),
    "another model": Case(
        _use(model_digest="11" * 32), "evaluation_other_task",
        "evaluation.check_use", "getattr(facts, name) != value",
    ),
    "a milder margin": Case(
        _use(margin_micros=10_000), "evaluation_other_task",
        "evaluation.check_terms", "wanted.margin_micros > margin or", "",
    ),
    "no floor where the task has one": Case(
        _use(floor_micros=10_000), "evaluation_other_task",
        "evaluation.check_terms", 'wanted.floors.get("", 0) < floor',
    ),
    "a failure": Case(
        _use(outcomes=pairs(400, lost=80)), "evaluation_not_passed",
        "evaluation.check_use", 'certificate.found.verdict != "pass"',
    ),
    "another engine": Case(
        _use(engine="llama-cpp-python 9"), "evaluation_other_engine",
        "evaluation.check_use", "at.engine != engine",
    ),
    "a clock that was set back": Case(
        _use(NOW_US - DAY_US), "evaluation_from_future",
        "evaluation.check_dated", "issued > now_us + _TOLERANCE_US",
    ),
    "expired": Case(
        _use(NOW_US + 366 * DAY_US), "evaluation_expired",
        "evaluation.check_use", "max(now_us, at.issued_us) > until",
    ),
    "expired beyond the grace": Case(
        _use(NOW_US + 396 * DAY_US, new=False), "evaluation_expired",
        "evaluation.check_use", "policy.tasks.grace_days", "999",
    ),
    "an edited specification": Case(
        _specified(edited(signed(wanted()), lambda s: s["predicate"].update(looks=9))),
        "specification_signature",
        "statement.Opened.signed_by", "dsse.signers(", "(lambda *_: 0)(",
    ),
    "another's name under a specification": Case(
        _specified(signed(wanted(name="Alice"))), "specifier_not_allowed",
        "policy.TrustPolicy.specifier", "or self.keys[hint].person != name", "",
    ),
}  # fmt: skip


def outcome(attempt: Attempt) -> str:
    """The code; "" when it is taken, the exception's name in a crash."""
    try:
        attempt()
    except ApplianceError as error:
        return error.code
    except Exception as error:  # a mutant may do anything
        return type(error).__name__
    return ""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_refused(case: Case) -> None:
    assert outcome(case.attempt) == case.code


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_without_its_check_it_is_not_refused_so(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = mutated(case.where, case.source, case.by)
    monkeypatch.setattr(function(case.where), "__code__", code)
    assert outcome(case.attempt) != case.code
