"""Evidence: each kind of job is known, and a look that log and rows differ about stops others."""

import pytest

from appliance.wiring.evidence import EvidenceRoom
from appliance.wiring.pool import PoolRoom

KINDS = ("dataset-check", "evaluation", "teach", "gate", "carry", "tune", "quantize")


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_of_jobs_are_known(pool: PoolRoom, evidence: EvidenceRoom, kind: str) -> None:
    assert pool.jobs.kind(kind).name == kind
    assert evidence.look.labels is evidence.labels and evidence.look.ledger is evidence.ledger
