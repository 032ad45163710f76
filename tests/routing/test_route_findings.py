"""A route's certificate follows from its outcomes, and from no others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from appliance.errors import EvaluationRefused
from appliance.evals import pairs
from appliance.routing.certifying import Observed
from appliance.routing.route_findings import check_outcomes
from appliance.trust.statements import route
from appliance.trust.statements.route import RouteCertificate
from tests.auditor.test_verify_certificate import pem
from tests.auditor.test_verify_route import carried, lines, world
from tests.cli.conftest import run_command
from tests.evals.gates import EVALUATOR, policy
from tests.trust.statements.test_route import certificate, found


@pytest.mark.parametrize("company", [False, True])
def test_both_certificates_follow_from_the_outcomes(tmp_path: Path, company: bool) -> None:
    seen, terms, made = world(company=company)
    own = certificate(terms, made)
    check_outcomes(route.verify(own, policy()), seen)
    file, key, outcomes = (tmp_path / name for name in ("c.json", "e.pub", "o.jsonl"))
    key.write_text(pem(EVALUATOR))
    outcomes.write_bytes(lines(seen))
    base = ("eval", "verify", file, "--key", key)
    for envelope in (own, carried(seen, terms, made)):
        file.write_bytes(envelope)
        told = run_command(*base, "--outcomes", outcomes, "--json").document
        assert (told["verdict"], told["outcomes"]) == ("certified", True)
        assert told["task"] == terms.route_digest
    assert "outcomes not seen" in run_command(*base).out
    other = run_command(*base, "--task", "9" * 64, "--json")
    assert other.code == (1, "route_certificate_other")
    outcomes.write_bytes(lines(seen[1:]))
    other = run_command(*base, "--outcomes", outcomes, "--json")
    assert other.code == (1, "route_certificate_inconsistent")


def others(seen: list[Observed], made: RouteCertificate) -> Iterator[RouteCertificate]:
    for changes in (
        {"limit_micros": 10_000},
        {"coverage_micros": 990_000},
        {"threshold_micros": made.found.thresholds[0]},
        {"reach_micros": 1_000_000},
        {"unasked": 0},
        {"largest": 3},
    ):
        yield replace(made, found=msgspec.structs.replace(made.found, **changes))
    yield replace(made, wanted=msgspec.structs.replace(made.wanted, seed="another seed"))
    at = msgspec.structs.replace(made.circumstances, accepted=(300,), unflipped={"": 300})
    yield replace(made, circumstances=at)


def test_no_other_certificate_follows() -> None:
    seen, terms, made = world()
    mine = route.verify(certificate(terms, made), policy())
    for other in others(seen, mine):
        with pytest.raises(EvaluationRefused) as caught:
            check_outcomes(other, seen)
        assert caught.value.code == "route_certificate_inconsistent"
    double = [replace(seen[0], group=seen[1].group), *seen[1:]]
    of_double = msgspec.structs.replace(made, merkle_root=pairs.root(double))
    with pytest.raises(EvaluationRefused):
        check_outcomes(replace(mine, found=of_double), double)
    with pytest.raises(EvaluationRefused) as caught:
        check_outcomes(replace(mine, found=found()), seen)
    assert "An older version made it" in caught.value.message
