"""Models in memory: their workers, the budget, the one door to both, and long work."""

import contextlib
from collections.abc import Awaitable

from appliance.errors import PolicyRefused, Refused, Unavailable
from appliance.host.usage import peak
from appliance.jobs.jobs import Jobs
from appliance.jobs.store import JobStore
from appliance.pool.adapters import AdapterLoader
from appliance.pool.candidates import Catalogue
from appliance.pool.loader import Loader
from appliance.pool.pool import Pool
from appliance.pool.withdrawal import Withdrawal
from appliance.registry.audit_entries import SYSTEM, Edges
from appliance.registry.import_job import Importing
from appliance.registry.lifecycle import Lifecycle
from appliance.wiring.access import AccessRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.trust import TrustRoom
from appliance.workers.gpu_use import GpuWatch
from appliance.workers.restarts import Restarts
from appliance.workers.supervisor import Supervisor


class PoolRoom:
    """Puts the parts together."""

    def __init__(self, log: LogRoom, access: AccessRoom, trust: TrustRoom) -> None:
        config, restarts = log.held.config, Restarts(log.reader, log.metrics)
        self.gpus = GpuWatch()
        log.held.closing.callback(self.gpus.close)
        self.supervisor = supervisor = Supervisor(
            config,
            log.held.clock,
            log.record,
            trust.permission.may_restart,
            trust.seal_again,
            restarts.again,
            restarts.before,
        )
        store, policy, edges = trust.store, trust.policy, Edges(log.audit)
        self.lifecycle = lifecycle = Lifecycle(
            store, policy, trust.fresh, supervisor.is_loaded, trust.permission, edges
        )
        # A log that is full, or a policy that is missing, stops changes, not looking.
        with contextlib.suppress(Unavailable, PolicyRefused):
            lifecycle.recover()
        custody = (store, policy, supervisor, lifecycle)
        adapters = AdapterLoader(*custody, edges)
        withdrawal = Withdrawal(*custody, adapters, edges)
        loader = Loader(*custody, trust.fresh, adapters, withdrawal, edges)
        kept = JobStore(log.database, log.held.clock, config.jobs.keep, log.agreement.held("jobs"))
        self.jobs = Jobs(
            kept, log.audit, [Importing(lifecycle)], most_waiting=config.jobs.max_waiting
        )
        catalogue = Catalogue(config, store, supervisor)
        self.pool = Pool(
            config, catalogue, lifecycle, supervisor, access.shares, loader, withdrawal, self.jobs
        )

    def suspend(self, artifact: str, why: Refused) -> Awaitable[object]:
        return self.pool.end(SYSTEM, artifact, "suspended", why)

    def most_memory(self, model_id: str) -> int:
        """The most bytes that the process of a model has held; 0 if it is not loaded."""
        served = self.supervisor.find(model_id.partition(":")[0])
        return 0 if served is None or served.worker is None else peak(served.worker.pid)
