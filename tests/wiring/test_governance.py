"""The last room settles an earlier process's work, when every kind of it is known."""

from appliance.jobs.states import JobState
from appliance.jobs.store import JobStore
from appliance.wiring.access import AccessRoom
from appliance.wiring.batches import BatchRoom
from appliance.wiring.directory import HeldDirectory
from appliance.wiring.evidence import EvidenceRoom
from appliance.wiring.governance import GovernanceRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.routing import RoutingRoom
from appliance.wiring.serving import ServingRoom
from appliance.wiring.trust import TrustRoom


def test_a_job_that_was_under_way_goes_on_where_its_kind_is_known(
    held: HeldDirectory,
    log: LogRoom,
    access: AccessRoom,
    trust: TrustRoom,
    pool: PoolRoom,
    serving: ServingRoom,
    evidence: EvidenceRoom,
    routing: RoutingRoom,
    batches: BatchRoom,
) -> None:
    kept = JobStore(log.database, held.clock)
    known, unknown = (kept.create(kind, "a title", "uid:0", "{}", True) for kind in ("tune", "dig"))
    for job in (known, unknown):
        kept.advance(job.id, "start")
    GovernanceRoom(log, access, trust, pool, serving, evidence, routing, batches)
    assert kept.get(known.id).state is JobState.QUEUED
    assert kept.get(unknown.id).state is JobState.INTERRUPTED
