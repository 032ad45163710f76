"""The rooms of a new lab, each made of those before it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.wiring.access import AccessRoom
from appliance.wiring.batches import BatchRoom
from appliance.wiring.directory import HeldDirectory, hold, initialise
from appliance.wiring.evidence import EvidenceRoom
from appliance.wiring.governance import GovernanceRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.retrieval import RetrievalRoom
from appliance.wiring.routing import RoutingRoom
from appliance.wiring.serving import ServingRoom
from appliance.wiring.trust import TrustRoom
from tests.smol import SMALL


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldDirectory]:
    initialise(tmp_path / "data", "lab")
    with hold(tmp_path / "data", SMALL, None, 0.0) as made:
        yield made


@pytest.fixture
def log(held: HeldDirectory) -> LogRoom:
    return LogRoom(held)


@pytest.fixture
def access(log: LogRoom) -> AccessRoom:
    return AccessRoom(log)


@pytest.fixture
def trust(log: LogRoom) -> TrustRoom:
    return TrustRoom(log)


@pytest.fixture
def pool(log: LogRoom, access: AccessRoom, trust: TrustRoom) -> PoolRoom:
    return PoolRoom(log, access, trust)


@pytest.fixture
def serving(log: LogRoom, access: AccessRoom, trust: TrustRoom, pool: PoolRoom) -> ServingRoom:
    return ServingRoom(log, access, trust, pool)


@pytest.fixture
def retrieval(
    log: LogRoom, access: AccessRoom, pool: PoolRoom, serving: ServingRoom
) -> RetrievalRoom:
    return RetrievalRoom(log, access, pool, serving)


@pytest.fixture
def evidence(
    log: LogRoom,
    trust: TrustRoom,
    pool: PoolRoom,
    serving: ServingRoom,
    retrieval: RetrievalRoom,
) -> EvidenceRoom:
    return EvidenceRoom(log, trust, pool, serving, retrieval)


@pytest.fixture
def routing(
    log: LogRoom,
    trust: TrustRoom,
    pool: PoolRoom,
    serving: ServingRoom,
    retrieval: RetrievalRoom,
    evidence: EvidenceRoom,
) -> RoutingRoom:
    return RoutingRoom(log, trust, pool, serving, retrieval, evidence)


@pytest.fixture
def batches(log: LogRoom, access: AccessRoom, pool: PoolRoom, routing: RoutingRoom) -> BatchRoom:
    return BatchRoom(log, access, pool, routing)


@pytest.fixture
def governance(
    log: LogRoom,
    access: AccessRoom,
    trust: TrustRoom,
    pool: PoolRoom,
    serving: ServingRoom,
    evidence: EvidenceRoom,
    routing: RoutingRoom,
    batches: BatchRoom,
) -> GovernanceRoom:
    return GovernanceRoom(log, access, trust, pool, serving, evidence, routing, batches)
