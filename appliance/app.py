"""The composition root: the rooms in their order, each made of those before it.

Rules: parts are made here and in `wiring` only, and given all that they need when they are made;
the last that was opened is closed first.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.admission.places import Shares
from appliance.audit.log import AuditLog
from appliance.audit.reader import LogReader
from appliance.auth.groups import KeyGroups
from appliance.auth.keys import KeyStore
from appliance.auth.rejected import RejectedCounts
from appliance.batches.batches import Batches
from appliance.clock import Clock
from appliance.config import Config
from appliance.datasets.label_queues import LabelQueues
from appliance.datasets.ledger import LookLedger
from appliance.forwarding.forwarder import Forwarding
from appliance.forwarding.notifier import Notifier
from appliance.governance.agreement import Agreement
from appliance.governance.erasing import Erasing
from appliance.governance.recheck import Sweep
from appliance.governance.retention import Retention
from appliance.governance.trust_updates import Renewal, TrustState
from appliance.incidents.disk_trend import DiskTrend
from appliance.incidents.history import Incidents
from appliance.jobs.jobs import Jobs
from appliance.metering.ledger import UsageLedger
from appliance.observability.log_file import Kept
from appliance.observability.metrics import Metrics
from appliance.peers.ring import PeerRing
from appliance.people.end_users import EndUsers
from appliance.pool.pool import Pool
from appliance.registry.lifecycle import Lifecycle
from appliance.retrieval.service import SearchService
from appliance.routing.answering import RoutedInference
from appliance.routing.catalogue import ApprovedRoutes
from appliance.routing.monitor import Monitors
from appliance.routing.people import People
from appliance.routing.upstreams.backends import UpstreamBackends
from appliance.routing.upstreams.service import Upstreams
from appliance.serving.background import BackgroundAnswers
from appliance.serving.kept_answers import KeptAnswers
from appliance.serving.selftest import SelfTestRun
from appliance.serving.tokenization import Tokenizers
from appliance.tasks.shadows import Shadows
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.policy.policy_file import load_policy
from appliance.trust.statements.pointers import Pointers
from appliance.wiring.access import AccessRoom
from appliance.wiring.batches import BatchRoom
from appliance.wiring.directory import hold, initialise
from appliance.wiring.evidence import EvidenceRoom
from appliance.wiring.governance import GovernanceRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.retrieval import RetrievalRoom
from appliance.wiring.routing import RoutingRoom
from appliance.wiring.schema import SCHEMA
from appliance.wiring.serving import ServingRoom
from appliance.wiring.trust import TrustRoom
from appliance.workers.gpu_use import GpuWatch
from appliance.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from appliance.wiring.site import SiteRoom

__all__ = ["SCHEMA", "Services", "initialise", "open_services"]


@dataclass(frozen=True)
class Services:
    """Everything that the APIs use."""

    data: Path
    config: Config
    clock: Clock
    profile: str
    keys: KeyStore
    groups: KeyGroups
    audit: AuditLog
    reader: LogReader
    forwarding: Forwarding
    ring: PeerRing
    site: "SiteRoom | None"
    notifier: Notifier
    usage: UsageLedger
    store: ModelStore
    ledger: LookLedger
    pointers: Pointers
    shadows: Shadows
    routes: ApprovedRoutes
    monitors: Monitors
    lifecycle: Lifecycle
    sweep: Sweep
    trust: TrustState
    renewal: Renewal
    retention: Retention
    agreement: Agreement
    jobs: Jobs
    labels: LabelQueues
    erasure: Erasing
    selftest: SelfTestRun
    pool: Pool
    inference: RoutedInference
    retrieval: SearchService
    people: People
    end_users: EndUsers
    upstreams: Upstreams
    upstream_backends: UpstreamBackends
    tokenizers: Tokenizers
    kept: KeptAnswers
    backgrounds: BackgroundAnswers
    batches: Batches
    supervisor: Supervisor
    gpus: GpuWatch
    shares: Shares
    rejected: RejectedCounts
    metrics: Metrics
    incidents: Incidents
    disk_trend: DiskTrend
    log_file: Kept
    started_us: int

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
        site = None
        if access.standing is not None:
            from appliance.wiring.site import SiteRoom  # of a site that has peers

            site = SiteRoom(
                access.standing, log, access, trust, pool, serving, evidence.ledger, routing
            )
        yield Services(
            data=data,
            config=held.config,
            clock=held.clock,
            profile=held.profile,
            audit=log.audit,
            reader=log.reader,
            forwarding=log.forwarding,
            ring=log.ring,
            site=site,
            notifier=log.notifier,
            usage=log.usage,
            agreement=log.agreement,
            metrics=log.metrics,
            keys=access.keys,
            groups=access.groups,
            shares=access.shares,
            end_users=access.end_users,
            store=trust.store,
            trust=trust.state,
            supervisor=pool.supervisor,
            gpus=pool.gpus,
            lifecycle=pool.lifecycle,
            jobs=pool.jobs,
            pool=pool.pool,
            upstreams=serving.upstreams,
            upstream_backends=serving.backends,
            tokenizers=serving.tokenizers,
            kept=serving.kept,
            backgrounds=serving.backgrounds,
            batches=batches.batches,
            retrieval=retrieval.retrieval,
            ledger=evidence.ledger,
            labels=evidence.labels,
            pointers=routing.pointers,
            shadows=routing.shadows,
            routes=routing.routes,
            monitors=routing.monitors,
            people=routing.people,
            inference=routing.inference,
            sweep=governance.sweep,
            renewal=governance.renewal,
            retention=governance.retention,
            erasure=governance.erasure,
            selftest=governance.selftest,
            rejected=RejectedCounts(held.clock),
            incidents=Incidents(log.database),
            disk_trend=DiskTrend(),
            log_file=Kept(),
            started_us=held.clock.wall_us(),
        )
