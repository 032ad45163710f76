"""The verifier of certificates on those of routes: repeated computations, and refusals."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.datasets.ledger import FALLING
from appliance.errors import CODES
from appliance.evals import pairs
from appliance.routing import calibration, certifying, confidence
from appliance.routing.carry import judged_again, place_of
from appliance.routing.certifying import CertificationPlan, CertificationTerms, Observed
from appliance.routing.confidence import FIELDS, LABELS, P_TRUE, Logistic, Steps
from appliance.routing.subject import Drawn
from appliance.statistics.calibration import Isotonic
from appliance.statistics.logistic import Fitted
from appliance.statistics.proportions import upper_limit
from appliance.statistics.special import normal_quantile
from appliance.trust.statements import route
from appliance.trust.statements.route import CalibrationFound, RouteSpecification
from auditor import verify_certificate as alone
from tests.auditor.test_verify_certificate import pem, run
from tests.evals.gates import EVALUATOR, NOW_US, STRANGER, edited, forged, policy
from tests.routing.test_carry import kept_of
from tests.routing.test_certifying import drawn as planted
from tests.routing.test_certifying import fixed
from tests.trust import policies
from tests.trust.statements.test_route import at, certificate, found, wanted

SEED = "a seed of the test"
BAD = "route_certificate_inconsistent"
Write = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return written


def world(*, weight: str = "answers", company: bool = False, each: int = 2, seed: int = 9) -> tuple[
    list[Observed], RouteSpecification, CalibrationFound
]:  # fmt: skip
    """A certified route: outcomes as they are exported, terms, and findings.

    Every other group of the sealed split has `each` items; one in ten is kept away by a rule, and
    of one in a hundred the engine was lost.
    """
    terms = CertificationTerms(0.05, 0.05 * 0.7, 0.05, company, weight)  # type: ignore[arg-type]
    plan = certifying.plan(planted(np.random.default_rng(1), 600), terms, 1_600)
    every = planted(np.random.default_rng(seed), 1_600)
    sizes = {o.group: each if n % 2 else 1 for n, o in enumerate(every)}
    one = [replace(o, item=f"{o.item}-{n}") for o in every for n in range(sizes[o.group])]
    seen = [replace(o, size=sizes[o.group]) for o in certifying.drawn(one, SEED, terms.weight)]
    for n in range(0, len(seen), 10):
        seen[n] = replace(seen[n], features=None, small=False, larger=None, ruled=True)
    for n in range(5, len(seen), 100):
        seen[n] = replace(seen[n], features=None, small=False, told="", unasked="worker_lost")
    seen.sort(key=lambda o: o.item)
    counting = [o for o in seen if o.counts]
    assert isinstance(plan, CertificationPlan)
    verdict = certifying.judge(plan, counting, [], terms, 0.05)
    assert verdict.certified
    made = calibration.found_of(plan, verdict, terms, seen, Drawn((), sizes))
    return seen, wanted(seed=SEED, weight=weight, schedule=FALLING), made


def lines(seen: list[Observed]) -> bytes:
    return b"".join(o.line() + b"\n" for o in seen)


def checked(write: Write, envelope: bytes, outcomes: bytes, *more: str | Path) -> tuple[int, str]:
    return run(
        write("certificate.json", envelope),
        write("evaluator.pub", pem(EVALUATOR).encode()),
        *("--outcomes", write("outcomes.jsonl", outcomes), *more),
    )


@pytest.mark.parametrize("weight", ["answers", "groups"])
@pytest.mark.parametrize("company", [False, True])
def test_the_threshold_follows_from_the_outcomes(write: Write, weight: str, company: bool) -> None:
    seen, terms, made = world(weight=weight, company=company)
    assert made.largest == (2 if weight == "answers" else 0) and made.unasked > 5
    person = write("person.pub", pem(policies.PUBLISHER).encode())
    status, told = checked(write, certificate(terms, made), lines(seen), "--person", person)
    assert status == 0 and "holds: certified, judged again" in told, told
    assert f"{weight} count alike" in told and "as the log names it: " in told
    proof = pairs.proof(seen, seen[7].item)
    path = write("proof.json", json.dumps(proof).encode())
    told = checked(write, certificate(terms, made), lines(seen), "--proof", path)[1]
    assert f"outcome proved: item {seen[7].item!r}" in told


def test_the_plan_is_the_one_of_the_log() -> None:
    terms = CertificationTerms(0.05, 0.05 * 0.7, 0.05, weight="answers")
    plan = certifying.plan(planted(np.random.default_rng(1), 600), terms, 1_600)
    _, specified, made = world()
    read = alone.Route(certificate(specified, made), alone.Key(pem(EVALUATOR)), None, [])
    assert isinstance(plan, CertificationPlan) and read.plan() == calibration.plan_digest(plan)


def test_a_certificate_from_before_is_judged_as_it_was(write: Write) -> None:
    """One item a group, no list of thresholds, one pseudo-group a side, equal shares of delta."""
    plan = fixed()
    seen = sorted(planted(np.random.default_rng(9), 1_000), key=lambda o: o.item)
    terms = CertificationTerms(0.05, 0.05 / 4, 0.05)
    verdict = certifying.judge(plan, seen, [], terms, 0.05)
    made = calibration.found_of(plan, verdict, terms, seen, Drawn((), {o.group: 1 for o in seen}))
    assert made.low_micros is not None
    threshold = made.threshold_micros or 0
    whole = [
        (o.small if o.score(plan.function) >= threshold else bool(o.larger)) - bool(o.larger)
        for o in seen
    ]
    low = alone.outward([float(gap) for gap in whole], 1, normal_quantile(1 - 0.05 / 4))
    before = msgspec.structs.replace(
        made, thresholds=(), effective=None, reach_micros=None, interval="",
        low_micros=int(np.floor(low[0] * 100)) * 10_000,
    )  # fmt: skip
    later = ("thresholds", "effective", "largest", "unasked", "reach_micros", "interval", "company")

    def older(statement: dict[str, Any]) -> None:
        for name in later:
            del statement["predicate"]["found"][name]

    envelope = forged(certificate(wanted(seed=SEED), before), older)
    assert route.verify(envelope, policy()).found == before  # the appliance reads it, too
    status, told = checked(write, envelope, lines(seen))
    assert status == 0 and "an older version made it" in told, told

    # Then it told the share that rules let through, and its outcomes only those.
    def reaching(statement: dict[str, Any]) -> None:
        older(statement)
        statement["predicate"]["found"]["reach_micros"] = 900_000

    some = forged(certificate(wanted(seed=SEED), before), reaching)
    told = checked(write, some, lines(seen))[1]
    assert "an older version made it" in told, told
    wrong = replace(seen[0], small=not seen[0].small)
    assert checked(write, envelope, lines([wrong, *seen[1:]]))[0] == 1


def carried(seen: list[Observed], terms: RouteSpecification, made: CalibrationFound) -> bytes:
    dev = planted(np.random.default_rng(1), 600)
    plan = certifying.plan(dev, CertificationTerms(0.05, 0.05 * 0.7, 0.05), 1_600)
    assert isinstance(plan, CertificationPlan)
    envelope = certificate(terms, made)
    first = route.verify(envelope, policy())
    kept = replace(kept_of(replace(plan, thresholds=made.thresholds), dev), wanted=terms)
    borne, accepted = judged_again(first, kept, seen)
    assert (borne.found.threshold_micros or 0) > (made.threshold_micros or 0)
    same = kept.groups(place_of(borne.found))
    return route.carry(envelope, borne, "llama.cpp 2", same, NOW_US + 1, EVALUATOR, accepted)


def test_what_was_carried_over_is_judged_with_the_change(write: Write) -> None:
    """A raised threshold follows from outcomes and open groups, and another one does not."""
    seen, terms, made = world()
    envelope = carried(seen, terms, made)
    status, told = checked(write, envelope, lines(seen))
    assert status == 0 and "points more are wrong, which the limit bears" in told, told

    def mutant(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> str:
        def edit(statement: dict[str, Any]) -> None:
            change(statement["predicate"]["found"], statement["predicate"]["circumstances"])

        status, told = checked(write, forged(envelope, edit), lines(seen))
        assert status == 1, told
        return told

    own = {"threshold_micros": made.threshold_micros, "limit_micros": made.limit_micros}
    assert BAD in mutant(lambda found, _: found.update(own))
    assert BAD in mutant(lambda _, at: at.update(unflipped={**at["unflipped"], "accepted": 2}))
    assert BAD in mutant(lambda _, at: at["accepted"].pop())
    assert BAD in mutant(lambda found, _: found.update(limit_micros=10_000))
    assert BAD in mutant(lambda _, at: at.update(accepted=[1, *at["accepted"][1:]][::-1]))
    assert BAD in mutant(lambda _, at: at.pop("accepted"))


def signed(
    seen: list[Observed], terms: RouteSpecification, made: CalibrationFound, **changes: Any
) -> bytes:
    root = pairs.root(seen)
    return certificate(terms, msgspec.structs.replace(made, merkle_root=root, **changes))


def mutants() -> dict[str, tuple[bytes, bytes, str]]:
    """Forgeries by a dishonest evaluator, or by a person who changed a file; and their refusals."""
    seen, terms, made = world()
    kept = lines(seen)
    threshold, function = made.threshold_micros or 0, confidence.read(made.function)
    right = next(
        n for n, o in enumerate(seen) if o.counts and o.small and o.score(function) >= threshold
    )
    flipped = [replace(o, small=not o.small) if n == right else o for n, o in enumerate(seen)]
    inside = [o for o in seen if o.counts and o.score(function) >= threshold]
    wrong = [o for o in inside if not o.small]
    hidden = [replace(o, small=True) if o in wrong else o for o in seen]
    worse = [replace(o, small=False) if n % 9 == 0 and o.counts else o for n, o in enumerate(seen)]
    group = replace(seen[right], group=seen[right + 1].group)
    joined = [group if n == right else o for n, o in enumerate(seen)]
    stranger = replace(seen[right], group="a group that the seed did not draw")
    swapped = [stranger if n == right else o for n, o in enumerate(seen)]
    silent = [replace(o, unasked="x") if o in wrong else o for o in seen]
    later = made.thresholds[made.thresholds.index(threshold) + 1 :]
    return {
        "an outcome is changed": (certificate(terms, made), lines(flipped), BAD),
        "wrong answers are called right": (certificate(terms, made), lines(hidden), BAD),
        "an outcome is left out": (certificate(terms, made), lines(seen[1:]), BAD),
        "the bound is loosened": (
            signed(seen, msgspec.structs.replace(terms, error_micros=20_000), made), kept, BAD,
        ),
        "the limit is lowered": (signed(seen, terms, made, limit_micros=10_000), kept, BAD),
        "more is said to be accepted": (
            signed(seen, terms, made, coverage_micros=990_000), kept, BAD,
        ),
        "the threshold is a later one": (
            signed(seen, terms, made, threshold_micros=later[0]), kept, BAD,
        ),
        "the threshold is none that was fixed": (
            signed(seen, terms, made, threshold_micros=threshold + 1), kept, BAD,
        ),
        "errors above the bound": (signed(worse, terms, made), lines(worse), BAD),
        "another weighting": (
            signed(seen, msgspec.structs.replace(terms, weight="groups"), made), kept, BAD,
        ),
        "the weighting of none": (
            forged(certificate(terms, made), lambda s: s["predicate"]["found"].update(largest=9)),
            kept, BAD,
        ),
        "too few groups of one size": (signed(seen, terms, made, effective=49), kept, BAD),
        "two outcomes of one group": (signed(joined, terms, made), lines(joined), BAD),
        "a group that was not drawn": (signed(swapped, terms, made), lines(swapped), BAD),
        "wrong ones called not asked": (signed(silent, terms, made), lines(silent), BAD),
        "no room for company": (signed(seen, terms, made, company=True), kept, BAD),
        "rules that took none": (signed(seen, terms, made, reach_micros=1_000_000), kept, BAD),
        "another function": (
            signed(seen, terms, made, function={**made.function, "intercept": 9.0}), kept, BAD,
        ),
        "another seed": (
            signed(seen, msgspec.structs.replace(terms, seed="another seed"), made), kept, BAD,
        ),
        "better than the second stage": (signed(seen, terms, made, low_micros=0), kept, BAD),
        "a byte under the signature": (
            edited(
                certificate(terms, made),
                lambda s: s["predicate"]["found"].update(limit_micros=10_000),
            ),
            kept, "route_certificate_signature",
        ),
        "signed by a stranger": (
            certificate(terms, made, key=STRANGER), kept, "evaluator_not_allowed",
        ),
        "a part that is missing": (
            forged(certificate(terms, made), lambda s: s["predicate"]["found"].pop("function")),
            kept, "route_certificate_malformed",
        ),
        "lines that are none": (certificate(terms, made), kept[:-1], "outcomes_invalid"),
    }  # fmt: skip


def test_a_mutant_is_refused_with_its_code(write: Write) -> None:
    for name, (envelope, outcomes, code) in mutants().items():
        status, told = checked(write, envelope, outcomes)
        refused = status == 1 and told.startswith(f"REFUSED {code}: ") and code in CODES
        assert refused, (name, told)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--task", "9" * 64), "route_certificate_other"),
        (("--model", "9" * 64), "route_certificate_other"),
        (("--engine", "another"), "route_certificate_other"),
        (("--at", "2020-01-01T00:00:00Z"), "route_certificate_other"),
        (("--at", "2040-01-01T00:00:00Z"), "route_certificate_expired"),
        (("--revoked", policies.hint(EVALUATOR)), "evaluator_revoked"),
        (("--revoked", policies.hint(policies.PUBLISHER)), "key_revoked"),
    ],
)
def test_what_it_is_for_is_looked_at(write: Write, options: tuple[str, ...], code: str) -> None:
    path = write("certificate.json", certificate())
    key = write("evaluator.pub", pem(EVALUATOR).encode())
    assert run(path, key, "--task", "1" * 64, "--model", "3" * 64, "--dataset", "2" * 64)[0] == 0
    status, told = run(path, key, *options)
    assert status == 1 and told.startswith(f"REFUSED {code}: "), told


def test_another_person_is_refused(write: Write) -> None:
    path = write("certificate.json", certificate(person=STRANGER))
    key = write("evaluator.pub", pem(EVALUATOR).encode())
    person = write("person.pub", pem(policies.PUBLISHER).encode())
    assert "specifier_not_allowed" in run(path, key, "--person", person)[1]


def test_what_was_not_certified_is_told(write: Write) -> None:
    path = write(
        "certificate.json",
        certificate(None, found(reason="underpowered", threshold_micros=None), at()),
    )
    status, told = run(path, write("evaluator.pub", pem(EVALUATOR).encode()))
    assert status == 0 and "not certifiable, underpowered" in told


NUMBER = st.floats(-8, 8, allow_nan=False)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_both_score_alike(data: st.DataObject) -> None:
    names = data.draw(
        st.sampled_from([LABELS, (*LABELS, P_TRUE), FIELDS, (*FIELDS, P_TRUE)]), label="form"
    )
    values = tuple(data.draw(NUMBER) for _ in names)
    some = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    function: confidence.Confidence = Logistic(
        tuple(some), Fitted(tuple(data.draw(NUMBER) for _ in some), data.draw(NUMBER))
    )
    if data.draw(st.booleans()):
        xs = sorted(data.draw(st.lists(NUMBER, min_size=1, max_size=6, unique=True)))
        ys = sorted(data.draw(st.floats(0, 1)) for _ in xs)
        name = "margin" if "margin" in names else "least"
        function = Steps(name, Isotonic(tuple(xs), tuple(ys)))
    right, company = data.draw(st.booleans()), data.draw(st.booleans())
    seen = Observed("i", "g", "", values, right)
    ours = seen.counted(function, company=company)
    document = json.loads(json.dumps(function.document()))
    assert alone.counted(document, json.loads(seen.line()), company) == ours


@pytest.mark.parametrize("n", [1, 59, 300, 2_000])
def test_both_have_one_limit(n: int) -> None:
    for k in (0, 1, n // 20, n - 1, n):
        for delta in (0.035, 0.005):
            assert alone.upper_limit(k, n, delta) == pytest.approx(
                upper_limit(k, n, delta), abs=1e-9
            )
