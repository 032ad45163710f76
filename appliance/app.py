"""The composition root: the rooms in their order, each made of those before it.

Rules: parts are made here and in `wiring` only, and given all that they need when they are made;
the last that was opened is closed first.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.auth.rejected import RejectedCounts
from appliance.clock import Clock
from appliance.config import Config
from appliance.incidents.disk_trend import DiskTrend
from appliance.incidents.history import Incidents
from appliance.observability.log_file import Kept
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.policy.policy_file import load_policy
from appliance.wiring.access import AccessRoom
from appliance.wiring.batches import BatchRoom
from appliance.wiring.directory import HeldDirectory, hold, initialise
from appliance.wiring.evidence import EvidenceRoom
from appliance.wiring.governance import GovernanceRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.retrieval import RetrievalRoom
from appliance.wiring.routing import RoutingRoom
from appliance.wiring.schema import SCHEMA
from appliance.wiring.serving import ServingRoom
from appliance.wiring.trust import TrustRoom

if TYPE_CHECKING:
    from appliance.wiring.site import SiteRoom as Site

__all__ = ["SCHEMA", "Services", "initialise", "open_services"]


class Services:
    """Everything that the APIs use."""

    def __init__(self, held: HeldDirectory) -> None:
        log = LogRoom(held)
        access = AccessRoom(log)
        trust = TrustRoom(log)
        pool = PoolRoom(log, access, trust)
        serving = ServingRoom(log, access, trust, pool)
        retrieval = RetrievalRoom(log, access, pool, serving)
        evidence = EvidenceRoom(log, trust, pool, serving, retrieval)
        routing = RoutingRoom(log, trust, pool, serving, retrieval, evidence)
        batches = BatchRoom(log, access, pool, routing)
        governance = GovernanceRoom(log, access, trust, pool, serving, evidence, routing, batches)
        self.site: Site | None = None
        if access.standing is not None:
            from appliance.wiring.site import SiteRoom  # of a site that has peers

            self.site = SiteRoom(
                access.standing, log, access, trust, pool, serving, evidence.ledger, routing
            )
        self.data = held.data
        self.config = held.config
        self.clock = held.clock
        self.profile = held.profile
        self.audit = log.audit
        self.reader = log.reader
        self.forwarding = log.forwarding
        self.ring = log.ring
        self.notifier = log.notifier
        self.usage = log.usage
        self.agreement = log.agreement
        self.metrics = log.metrics
        self.keys = access.keys
        self.groups = access.groups
        self.shares = access.shares
        self.end_users = access.end_users
        self.store = trust.store
        self.trust = trust.state
        self.supervisor = pool.supervisor
        self.gpus = pool.gpus
        self.lifecycle = pool.lifecycle
        self.jobs = pool.jobs
        self.pool = pool.pool
        self.upstreams = serving.upstreams
        self.upstream_backends = serving.backends
        self.tokenizers = serving.tokenizers
        self.kept = serving.kept
        self.backgrounds = serving.backgrounds
        self.batches = batches.batches
        self.retrieval = retrieval.retrieval
        self.ledger = evidence.ledger
        self.labels = evidence.labels
        self.pointers = routing.pointers
        self.shadows = routing.shadows
        self.routes = routing.routes
        self.monitors = routing.monitors
        self.people = routing.people
        self.inference = routing.inference
        self.sweep = governance.sweep
        self.renewal = governance.renewal
        self.retention = governance.retention
        self.erasure = governance.erasure
        self.selftest = governance.selftest
        self.replays = routing.replays
        self.rejected = RejectedCounts(held.clock)
        self.incidents = Incidents(log.database)
        self.disk_trend = DiskTrend()
        self.log_file = Kept()
        self.started_us = held.clock.wall_us()

    def policy(self) -> TrustPolicy:
        return load_policy(self.data / "trust")

    def check_heard(self) -> None:
        """Raises Unavailable (`site_stale`) where the policy has it wait to hear its site."""
        if self.site is not None:
            self.site.exchange.standing.check()


@contextlib.contextmanager
def open_services(
    data: Path,
    *,
    config: Config | None = None,
    clock: Clock | None = None,
    patience: float = 0.0,
) -> Iterator[Services]:
    """Take the data directory.

    Args:
        config: in place of the file, for tests and benchmarks.
        patience: seconds to wait while another process has the directory.

    Raises:
        UsageError: `data_missing`, `config_invalid`.
        StateRefused: `data_locked` when another process has it.
    """
    with hold(data, config, clock, patience) as held:
        yield Services(held)
