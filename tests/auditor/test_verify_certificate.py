"""The verifier of certificates agrees with the appliance, on true and forged ones."""

import ast
import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from appliance.clock import iso
from appliance.db import open_database
from appliance.errors import CODES, ApplianceError
from appliance.evals import judging
from appliance.evals import pairs as pairs_
from appliance.evals.pairs import ItemPair
from appliance.trust.bytes import ecdsa
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation, evaluations
from appliance.trust.statements.evaluations import Evaluations
from auditor import verify_certificate as alone
from tests.evals.gates import (
    DATASET,
    DAY_US,
    ENGINE,
    EVALUATOR,
    FACTS,
    MODEL,
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

pytestmark = pytest.mark.long

PROGRAM = Path(__file__).parents[2] / "auditor" / "verify_certificate.py"


def pem(key: ecdsa.PrivateKey) -> str:
    return ecdsa.public_pem(key.public_key()).decode()


def run(*arguments: str | Path) -> tuple[int, str]:
    """As the program, without starting one."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = alone.main([str(each) for each in arguments])
    assert not errors.getvalue(), errors.getvalue()
    return status, out.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def written(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return written


@pytest.fixture
def evaluator(write: Callable[[str, bytes], Path]) -> Path:
    return write("evaluator.pub", pem(EVALUATOR).encode())


def lines(found: list[ItemPair]) -> bytes:
    return b"".join(each.line() + b"\n" for each in found)


def test_it_imports_the_standard_library_and_nothing_else() -> None:
    tree = ast.parse(PROGRAM.read_text())
    names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)
    # Two hours: the curves, the certificate of a gate with the intervals of three versions, and
    # that of a route with its confidence.
    assert len(PROGRAM.read_text().splitlines()) < 1_110


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_its_signatures_are_those_of_the_library(curve: type[ec.EllipticCurve]) -> None:
    key = ec.generate_private_key(curve())
    ours = alone.Key(pem(key))
    assert ours.hint == ecdsa.hint(key.public_key())
    for message in (b"", b"x" * 300):
        signature = ecdsa.sign(key, message)
        assert ours.signed(signature, message)
        assert not ours.signed(signature, message + b"!")
        assert not alone.Key(pem(ec.generate_private_key(curve()))).signed(signature, message)
        for place in range(0, len(signature), 29):
            changed = bytearray(signature)
            changed[place] ^= 1
            assert not ours.signed(bytes(changed), message)
    assert not ours.signed(b"", b"") and not ours.signed(b"0\x06\x02\x01\x00\x02\x01\x00", b"")


@pytest.mark.parametrize("text", ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(alone.Wrong):
        alone.Key(text)


# One case for each way of tampering: what is changed, and what both must say.

YEAR = 365 * DAY_US


def _passed(statement: dict[str, Any]) -> None:
    statement["predicate"]["result"] = "PASSED"
    block(verdict="pass", comparison="pass", passed=True)(statement)


def _altered_terms() -> bytes:
    wide = edited(signed(wanted()), lambda s: s["predicate"].update(margin_micros=90_000))
    looser = wanted(margin_micros=90_000)
    found = judging.judge(looser, pairs(400, gained=20))
    return evaluation.sign(wide, looser, found, circumstances(), EVALUATOR)


CASES: dict[str, tuple[bytes, str, dict[str, Any]]] = {
    "a byte under the signature": (
        edited(certificate(), block(lowMicros=0)), "evaluation_signature", {},
    ),
    "signed by a stranger": (certificate(key=STRANGER), "evaluator_not_allowed", {}),
    "signed by a revoked key": (
        certificate(), "evaluator_revoked", {"revoked": policies.hint(EVALUATOR)},
    ),
    "specified by a revoked key": (
        certificate(), "key_revoked", {"revoked": policies.hint(policies.PUBLISHER)},
    ),
    "margin edited after the specification": (
        forged(certificate(), block(marginMicros=90_000, threshold=-0.09)),
        "evaluation_inconsistent", {},
    ),
    "specification altered": (_altered_terms(), "evaluation_signature", {}),
    "a failure called a pass": (
        forged(certificate(pairs(400, lost=80)), _passed), "evaluation_inconsistent", {},
    ),
    "too few groups called a pass": (
        forged(certificate(pairs(40)), _passed), "evaluation_inconsistent", {},
    ),
    "of another task": (certificate(), "evaluation_other_task", {"task": "11" * 32}),
    "of another quantisation": (certificate(), "evaluation_other_task", {"model": "11" * 32}),
    "of another version of the dataset": (
        certificate(), "evaluation_other_dataset", {"dataset": "11" * 32},
    ),
    "of another engine": (
        certificate(), "evaluation_other_engine", {"engine": "llama-cpp-python 0.3.99"},
    ),
    "expired": (certificate(), "evaluation_expired", {"now_us": NOW_US + YEAR + DAY_US}),
    "the clock set back": (certificate(), "evaluation_from_future", {"now_us": NOW_US - DAY_US}),
    "another subject": (
        forged(certificate(), lambda s: s["subject"][0]["digest"].update(sha256="11" * 32)),
        "evaluation_inconsistent", {},
    ),
    "a look beyond the budget": (
        forged(certificate(), block(look=5)), "evaluation_inconsistent", {},
    ),
    "a pack that missed its floor called a pass": (
        forged(certificate(terms=wanted(packs={"general": 760_000})), _passed),
        "evaluation_inconsistent", {},
    ),
    "a pack left out": (
        forged(certificate(terms=wanted(packs={"general": 700_000})), block(packs={})),
        "evaluation_inconsistent", {},
    ),
    "a part that is missing": (
        forged(certificate(), lambda s: s["predicate"].pop("evaluation")),
        "evaluation_malformed", {},
    ),
}  # fmt: skip


def test_there_are_more_than_twelve_ways_of_tampering() -> None:
    assert len(CASES) == 19 and {code for _, code, _ in CASES.values()} <= set(CODES)


def _loader(tmp_path: Path, envelope: bytes, told: dict[str, Any]) -> str:
    """The refusal of the store of certificates, before a task is approved."""
    revoked = [told["revoked"]] if "revoked" in told else []
    strict: TrustPolicy = policy(policies.put("revoked", "keys", revoked))
    database = open_database(tmp_path / "a.db", [evaluations.TABLES])
    kept = Evaluations(
        database,
        lambda _: told.get("dataset", DATASET),
        lambda: int(told.get("now_us", NOW_US)),
        lambda: told.get("engine", ENGINE),
    )
    facts = structs.replace(FACTS, model_digest=told.get("model", MODEL))
    try:
        kept.add(envelope, strict)
        evaluation.check_use(
            evaluation.verify(envelope, strict), told.get("task", TASK), facts, kept.engine,
            kept.now_us(), strict, new=True,
        )  # fmt: skip
        kept.valid(told.get("task", TASK), facts, strict, new=True)
    except ApplianceError as error:
        return error.code
    finally:
        database.dispose()
    return ""


def _alone(
    write: Callable[[str, bytes], Path], envelope: bytes, told: dict[str, Any]
) -> tuple[int, str]:
    key = write("evaluator.pub", pem(EVALUATOR).encode())
    person = write("person.pub", pem(policies.PUBLISHER).encode())
    more: list[str | Path] = ["--person", person, "--task", told.get("task", TASK)]
    more += ["--model", told.get("model", MODEL), "--dataset", told.get("dataset", DATASET)]
    more += ["--engine", told.get("engine", ENGINE)]
    more += ["--at", iso(told.get("now_us", NOW_US))]
    if "revoked" in told:
        more += ["--revoked", told["revoked"]]
    return run(write("certificate.json", envelope), key, *more)


def test_both_believe_what_is_true(tmp_path: Path, write: Callable[[str, bytes], Path]) -> None:
    assert _loader(tmp_path, certificate(), {}) == ""
    status, told = _alone(write, certificate(), {})
    assert status == 0 and "holds: pass" in told


@pytest.mark.parametrize("case", CASES)
def test_both_refuse_what_was_tampered_with(
    tmp_path: Path, write: Callable[[str, bytes], Path], case: str
) -> None:
    envelope, code, told = CASES[case]
    assert _loader(tmp_path, envelope, told) == code
    status, words = _alone(write, envelope, told)
    assert status == 1 and words.startswith(f"REFUSED {code}: "), words


# Outcomes.

WHOLE = certificate()
"""One for all examples: each signature is another, and so may be its length."""


def _terms(number: int) -> Any:
    floors = [{}, {"": 600_000}, {"": 900_000, "north": 500_000, "south": 999_999}]
    looks, shares = 1 + number % 5, (700_000, 100_000, 100_000, 100_000)
    return wanted(
        floors=floors[number % 3],
        looks=looks,
        margin_micros=20_000 + number,
        schedule=shares if looks == len(shares) else (),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300), st.integers(0, 60), st.integers(0, 60), st.integers(0, 100),
    st.integers(1, 7), st.integers(0, 14), st.booleans(), st.booleans(),
)  # fmt: skip
def test_both_judge_alike_to_the_last_digit(
    count: int, gained: int, lost: int, right: int, per_group: int, number: int, unnamed: bool,
    plain: bool,
) -> None:  # fmt: skip
    """By the interval that a certificate names, and by those of older ones."""
    found = [
        ItemPair(p.item, f"g{n // per_group}", p.stratum, p.expected, p.candidate, p.incumbent,
             p.candidate_answer, p.incumbent_answer)
        for n, p in enumerate(pairs(count, gained, lost, right / 100))
    ]  # fmt: skip
    terms = _terms(number)
    look = terms.looks
    judged = judging.judge(terms, found, look=look, unnamed=unnamed, corrected=not plain)
    predicate, outcomes = terms.predicate(), [json.loads(p.line()) for p in found]
    again = alone.Judged(predicate, outcomes, look, unnamed=unnamed, corrected=not plain)
    assert again.interval == judged.interval and bool(judged.interval) is not unnamed
    assert (again.verdict, again.comparison, again.floors) == (
        judged.verdict, judged.comparison, judged.floors,
    )  # fmt: skip
    told = (judged.difference_micros, judged.low_micros, judged.high_micros)
    assert again.told == told and (unnamed or again.lows == judged.floor_lows)
    assert not judged.quality or again.quality == tuple(judged.quality.values())
    assert bool(judged.quality) is not (unnamed or plain)
    assert alone.root([alone.leaf(p.line()) for p in found]).hex() == judged.merkle_root


def test_the_verdict_follows_from_the_outcomes(
    write: Callable[[str, bytes], Path], evaluator: Path
) -> None:
    found = pairs(400, gained=20)
    path = write("certificate.json", certificate(found))
    given = (path, evaluator, "--outcomes", write("outcomes.jsonl", lines(found)))
    status, told = run(*given)
    assert status == 0 and "judged again from its outcomes" in told
    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *map(str, given)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, told, "")


@pytest.mark.parametrize(("floor", "verdict"), [(750_000, "pass"), (760_000, "fail")])
def test_a_pack_counts_in_the_verdict(
    write: Callable[[str, bytes], Path], evaluator: Path, floor: int, verdict: str
) -> None:
    found = pairs(400, gained=20)
    path = write("c.json", certificate(found, wanted(packs={"general": floor})))
    status, told = run(path, evaluator, "--outcomes", write("outcomes.jsonl", lines(found)))
    assert status == 0 and f"holds: {verdict}, judged again" in told


def test_an_older_certificate_is_judged_by_its_own_interval(
    write: Callable[[str, bytes], Path], evaluator: Path
) -> None:
    """62 groups without a loss; control: another interval's name is refused."""
    found = pairs(62)
    outcomes = write("outcomes.jsonl", lines(found))
    before = judging.judge(wanted(), found, unnamed=True)
    old = evaluation.sign(signed(wanted()), wanted(), before, circumstances(), EVALUATOR)
    status, told = run(write("old.json", old), evaluator, "--outcomes", outcomes)
    assert status == 0 and "holds: pass, judged again" in told and "names no interval" in told
    new = certificate(found)
    status, told = run(write("new.json", new), evaluator, "--outcomes", outcomes)
    assert status == 0 and "holds: underpowered" in told and "names no interval" not in told
    for name in ("tango", "two-pseudo-groups"):
        path = write("renamed.json", forged(old, block(interval=name)))
        assert "from these outcomes follows" in run(path, evaluator, "--outcomes", outcomes)[1]
    path = write("unknown.json", forged(old, block(interval="mine")))
    assert run(path, evaluator)[1].startswith("REFUSED evaluation_inconsistent: its interval")


def test_items_on_which_both_agree_need_no_label(
    write: Callable[[str, bytes], Path], evaluator: Path
) -> None:
    """And no other items: an answer that differs has its label, and only where that was signed."""
    terms = wanted(split="unlabelled", raters=("anna", "ben"))
    found = [
        replace(p, expected="", candidate=0, incumbent=0, agreed=True)
        if p.candidate_answer == p.incumbent_answer
        else p
        for p in pairs(400, gained=20, lost=4)
    ]
    made, outcomes = certificate(found, terms), write("outcomes.jsonl", lines(found))
    status, told = run(write("c.json", made), evaluator, "--outcomes", outcomes)
    agreed = sum(p.agreed for p in found)
    assert status == 0 and f"agree on {agreed} items, which nobody labelled" in told
    for wrong in ({"candidate_answer": "c"}, {"expected": "a"}, {"candidate": 1_000_000}):
        lie = [replace(found[-1], **wrong)]
        path = write("lie.jsonl", lines(lie))
        assert run(write("c.json", made), evaluator, "--outcomes", path)[1].startswith(
            "REFUSED outcomes_invalid: without a label"
        )
        with pytest.raises(ApplianceError):
            pairs_.parse(lie[0].line())
    fewer = write("fewer.json", forged(made, block(agreed=agreed - 1)))
    assert "from these outcomes follows" in run(fewer, evaluator, "--outcomes", outcomes)[1]
    labelled = write("labelled.json", forged(certificate(pairs(400)), block(agreed=3)))
    assert "its items have labels" in run(labelled, evaluator)[1]


def test_it_bounds_what_an_engine_may_have_changed(
    write: Callable[[str, bytes], Path], evaluator: Path
) -> None:
    terms = wanted(floors={"": 600_000, "north": 500_000})
    first, found = certificate(pairs(400, gained=20), terms), pairs(400, gained=20)
    origin = evaluation.verify(first, policy())
    for groups in (1, 73, 74, 200, 1_000):
        assert alone.change_micros(groups, 50_000) == evaluation.change_micros(groups, 50_000)
    same = {"": 200, "north": 90}
    made = evaluation.carry(first, origin, "llama.cpp 2", same, NOW_US, EVALUATOR)
    outcomes = write("outcomes.jsonl", lines(found))
    status, told = run(write("carried.json", made), evaluator, "--outcomes", outcomes)
    assert status == 0 and "200 open groups the same, at most 1.5 points change" in told
    for less in ({"": 73, "north": 90}, {"": 200, "north": 5}, {"": 200}, {}):
        path = write("less.json", forged(made, block(unflippedGroups=less)))
        assert "an engine that gave the same answers may" in run(path, evaluator)[1]
    path = write(
        "higher.json", forged(made, block(floorLowsMicros={"": 650_000, "north": 640_000}))
    )
    assert run(path, evaluator)[0] == 0  # nothing contradicts it, until the outcomes are seen
    assert "from these outcomes follows" in run(path, evaluator, "--outcomes", outcomes)[1]
    older = forged(made, lambda s: s["predicate"]["evaluation"].pop("unflippedGroups"))
    status, told = run(write("older.json", older), evaluator)
    assert status == 0 and "an older version carried it over" in told


def test_other_outcomes_are_refused(write: Callable[[str, bytes], Path], evaluator: Path) -> None:
    path = write("certificate.json", certificate(pairs(400, gained=20)))
    for wrong in (pairs(400, gained=21), pairs(399, gained=20)):
        status, told = run(path, evaluator, "--outcomes", write("o.jsonl", lines(wrong)))
        assert status == 1 and "not those that were signed" in told


def test_a_verdict_that_does_not_follow_is_refused(
    write: Callable[[str, bytes], Path], evaluator: Path
) -> None:
    found = pairs(400, lost=40)
    true = judging.judge(wanted(), found)
    assert true.verdict == "fail" or true.verdict == "underpowered"

    def lie(statement: dict[str, Any]) -> None:
        statement["predicate"]["result"] = "PASSED"
        values = {"verdict": "pass", "comparison": "pass", "passed": True, "groupsNeeded": 0}
        block(**values, lowMicros=-40_000, highMicros=10_000)(statement)

    path = write("certificate.json", forged(certificate(found), lie))
    assert run(path, evaluator)[0] == 0  # nothing contradicts it, until the outcomes are seen
    status, told = run(path, evaluator, "--outcomes", write("o.jsonl", lines(found)))
    assert status == 1 and "from these outcomes follows" in told


@pytest.mark.parametrize(
    "data",
    [b"", b"{}\n", b"[]\n", lines(pairs(2))[:-1], lines(pairs(2)[::-1]), lines(pairs(1)) * 2,
     lines(pairs(1)).replace(b":", b": ")],
)  # fmt: skip
def test_what_are_no_outcomes_is_refused(
    write: Callable[[str, bytes], Path], evaluator: Path, data: bytes
) -> None:
    path = write("certificate.json", certificate())
    status, told = run(path, evaluator, "--outcomes", write("o.jsonl", data))
    assert status == 1 and told.startswith("REFUSED outcomes_invalid")


def test_one_outcome_is_proved(write: Callable[[str, bytes], Path], evaluator: Path) -> None:
    found = pairs(400, gained=20)
    path = write("certificate.json", certificate(found))
    proof = pairs_.proof(found, "i0123")
    good = write("proof.json", json.dumps(proof).encode())
    assert "outcome proved: item 'i0123'" in run(path, evaluator, "--proof", good)[1]
    for change in (
        {"line": proof["line"].replace('"b"', '"c"').replace('"a"', '"c"')},
        {"index": 7},
        {"size": 399},
        {"proof": proof["proof"][:-1]},
    ):
        bad = write("bad.json", json.dumps(proof | change).encode())
        status, told = run(path, evaluator, "--proof", bad)
        assert status == 1 and "none of those that were signed" in told
    assert run(path, evaluator, "--proof", write("x", b"[]"))[0] == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_byte_is_believed(data: st.DataObject) -> None:
    whole = WHOLE
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] = data.draw(st.integers(0, 255).filter(lambda b: b != whole[place]))
    before = alone.Certificate(whole, alone.Key(pem(EVALUATOR)), None, [])
    try:
        after = alone.Certificate(bytes(changed), alone.Key(pem(EVALUATOR)), None, [])
    except alone.Wrong:
        return
    assert (after.id, after.block) == (before.id, before.block)  # white space outside
