"""Evidence: each kind of job is known, and a look that log and rows differ about stops others."""

from pathlib import Path

import pytest

from appliance.errors import StateRefused
from appliance.wiring.directory import hold
from appliance.wiring.evidence import EvidenceRoom, _agreed
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.trust import TrustRoom
from tests.datasets.test_ledger import MARKS, look
from tests.peers.site_members import made_site, publish
from tests.smol import SMALL

KINDS = ("dataset-check", "evaluation", "teach", "gate", "carry", "tune", "quantize")


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_of_jobs_are_known(pool: PoolRoom, evidence: EvidenceRoom, kind: str) -> None:
    assert pool.jobs.kind(kind).name == kind
    assert evidence.look.labels is evidence.labels and evidence.look.ledger is evidence.ledger


def test_a_member_without_peers_takes_no_look(tmp_path: Path) -> None:
    sim, sites = made_site(tmp_path, "ab")
    with hold(sites["a"].data, SMALL, sites["a"].clock, 0.0) as held:
        log = LogRoom(held)
        trust = TrustRoom(log)
        with pytest.raises(StateRefused) as caught:
            _agreed(log, trust, look(), MARKS)
        assert caught.value.code == "looks_unagreed"
        del sim.policy["site"]
        publish(sim, sites)
        assert _agreed(log, trust, look(), MARKS) == ()  # alone, it asks nobody
