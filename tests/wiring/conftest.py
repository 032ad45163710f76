"""The rooms of a new lab, each made of those before it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.wiring.access import AccessRoom
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
def access(held: HeldDirectory, log: LogRoom) -> AccessRoom:
    return AccessRoom(held, log)


@pytest.fixture
def trust(held: HeldDirectory, log: LogRoom) -> TrustRoom:
    return TrustRoom(held, log)


@pytest.fixture
def pool(held: HeldDirectory, log: LogRoom, access: AccessRoom, trust: TrustRoom) -> PoolRoom:
    return PoolRoom(held, log, access, trust)


@pytest.fixture
def serving(
    held: HeldDirectory, log: LogRoom, access: AccessRoom, trust: TrustRoom, pool: PoolRoom
) -> ServingRoom:
    return ServingRoom(held, log, access, trust, pool)


@pytest.fixture
def retrieval(
    held: HeldDirectory, log: LogRoom, access: AccessRoom, pool: PoolRoom, serving: ServingRoom
) -> RetrievalRoom:
    return RetrievalRoom(held, log, access, pool, serving)


@pytest.fixture
def evidence(
    held: HeldDirectory,
    log: LogRoom,
    trust: TrustRoom,
    pool: PoolRoom,
    serving: ServingRoom,
    retrieval: RetrievalRoom,
) -> EvidenceRoom:
    return EvidenceRoom(held, log, trust, pool, serving, retrieval)


@pytest.fixture
def routing(
    held: HeldDirectory,
    log: LogRoom,
    trust: TrustRoom,
    pool: PoolRoom,
    serving: ServingRoom,
    retrieval: RetrievalRoom,
    evidence: EvidenceRoom,
) -> RoutingRoom:
    return RoutingRoom(held, log, trust, pool, serving, retrieval, evidence)


@pytest.fixture
def governance(
    held: HeldDirectory,
    log: LogRoom,
    access: AccessRoom,
    trust: TrustRoom,
    pool: PoolRoom,
    evidence: EvidenceRoom,
    routing: RoutingRoom,
) -> GovernanceRoom:
    return GovernanceRoom(held, log, access, trust, pool, evidence, routing)
