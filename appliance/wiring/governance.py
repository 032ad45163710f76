"""Changes by time: trust updates, re-checks, drift, retention, erasure; log and rows agree."""

import contextlib
from collections.abc import Collection

from appliance.advisor import watch
from appliance.datasets import directory as datasets
from appliance.errors import Refused, Unavailable
from appliance.evals.job import DIRECTORY as EVALUATIONS
from appliance.evals.store import OutcomeTexts
from appliance.governance.erasing import Erasing, Holder
from appliance.governance.log_jobs import Exporting, VerificationJob
from appliance.governance.recheck import Sweep
from appliance.governance.retention import Retention
from appliance.governance.trust_updates import Renewal
from appliance.serving.selftest import SelfTestRun
from appliance.trust.artifacts.store import ModelStore
from appliance.tuning import teaching
from appliance.wiring.access import AccessRoom
from appliance.wiring.batches import BatchRoom
from appliance.wiring.evidence import EvidenceRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.routing import RoutingRoom
from appliance.wiring.serving import ServingRoom
from appliance.wiring.trust import TrustRoom


class GovernanceRoom:
    """Continues what an earlier process left under way."""

    def __init__(
        self,
        log: LogRoom,
        access: AccessRoom,
        trust: TrustRoom,
        pool: PoolRoom,
        serving: ServingRoom,
        evidence: EvidenceRoom,
        routing: RoutingRoom,
        batches: BatchRoom,
    ) -> None:
        held = log.held
        data, store, policy = held.data, trust.store, trust.policy
        jobs, supervisor, lifecycle = pool.jobs, pool.supervisor, pool.lifecycle
        self.sweep = Sweep(store, policy, supervisor, lifecycle, pool.pool)
        self.renewal = Renewal(
            data / "trust",
            held.clock,
            trust.state,
            log.audit,
            log.reader,
            supervisor,
            pool.pool,
            self.sweep,
        )
        self.retention = Retention(
            log.audit,
            log.reader,
            held.clock,
            held.config.audit.keep_days,
            policy,
            trust.fresh,
            log.forwarding.without,
            log.usage.follow,
        )
        self.selftest = SelfTestRun(
            store, policy, supervisor, lifecycle, pool.pool, routing.inference, log.audit
        )
        jobs.add(VerificationJob(data / "audit"))
        enterprise = held.config.audit.enterprise_number
        jobs.add(Exporting(data / "audit", log.audit, enterprise))
        jobs.add(
            watch.Watching(
                watch.WatchParts(
                    directory=data / watch.DIRECTORY,
                    reader=log.reader,
                    audit=log.audit,
                    agreed=access.agreed,
                    overridden=routing.monitors.overridden,
                    withdraw=routing.withdraw,
                    suspend=pool.suspend if held.config.drift.suspend else None,
                    clock=held.clock,
                )
            )
        )
        holders: dict[str, Holder] = {
            "queue": routing.people,
            "samples": routing.monitors,
            "shadows": routing.shadows,
            "label queues": evidence.labels,
            "kept answers": serving.kept,
            "batches": batches.store,
            "evaluations": OutcomeTexts(data / EVALUATIONS, data / teaching.DIRECTORY),
        }
        self.erasure = Erasing(
            data,
            log.database,
            log.audit,
            log.reader,
            holders,
            lambda ids: _datasets_with(store, ids),
            evidence.labels.aliases,
        )
        with contextlib.suppress(Unavailable):  # the next start or erasure goes on with it
            if self.erasure.catch_up():
                log.agreement.begin()  # rows went that the log had erased already
        jobs.recover()


def _datasets_with(models: ModelStore, ids: Collection[str]) -> list[str]:
    """By ids of items in open splits."""
    found = []
    for record in models.inventory.records():
        if record.kind != "dataset":
            continue
        try:
            with models.inventory.open(record.id) as artifact:
                if any(item.id in ids for item in datasets.read_artifact(artifact).items):
                    found.append(record.id)
        except Refused:
            continue  # its files are not there, or not those of the record
    return found
