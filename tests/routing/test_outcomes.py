"""Outcomes of a calibration, for an auditor and for comparisons with later answers."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from appliance.app import Services, open_services
from appliance.errors import EvaluationRefused
from appliance.evals import pairs
from appliance.evals.job import DIRECTORY
from appliance.routing import outcomes
from appliance.routing.subject import CalibrationParts
from appliance.trust.artifacts.store import load_policy
from tests.routing.world import GROUPS, Certified, terms
from tests.smol import SMALL

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(
    certified: Certified, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    data = certified.copy(tmp_path_factory.mktemp("outcomes"))
    with open_services(data, config=SMALL) as services:
        yield services


def parts_of(services: Services) -> CalibrationParts:
    return services.jobs._kinds["route"]._calibration  # type: ignore[attr-defined,no-any-return]


async def test_a_certificate_rests_on_the_answers_that_it_accepts(
    lab: Services, certified: Certified
) -> None:
    found = outcomes.basis(parts_of(lab), certified.result["certificate"])
    assert found is not None and (found.weight, found.bound) == ("answers", 0.1)
    assert len(found.answers) == round(certified.result["coverage"] * GROUPS)
    assert found.delta == pytest.approx(0.05 * 0.7) and not any(a.wrong for a in found.answers)
    assert outcomes.basis(parts_of(lab), "1" * 64) is None


async def test_outcomes_are_those_that_were_signed(lab: Services, certified: Certified) -> None:
    look = lab.ledger.of_certificate(certified.result["certificate"])
    assert look is not None
    kek = parts_of(lab).look.kek()
    seen = outcomes.read(lab.data / DIRECTORY, look, kek)
    policy = load_policy(lab.data / "trust")
    held = lab.routes.certificates.of(terms(lab).route_digest, policy)[0]
    assert len(seen) == GROUPS and pairs.root(seen) == held.found.merkle_root
    assert b'"size"' not in seen[0].line()  # as older versions wrote it
    assert b'"size":2' in replace(seen[0], size=2).line()
    for changed in (replace(look, verdict=""), replace(look, job=10_000)):
        with pytest.raises(EvaluationRefused) as caught:
            outcomes.read(lab.data / DIRECTORY, changed, kek)
        assert caught.value.code == "report_missing"
