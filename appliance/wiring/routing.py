"""Tasks by name and routes of them: what apps ask, and what suspends a route."""

import functools
from dataclasses import replace

from appliance.registry.audit_entries import SYSTEM
from appliance.routing import answering, outcomes
from appliance.routing.answering import RoutedInference
from appliance.routing.calibration import Calibration
from appliance.routing.carry import RouteCarry
from appliance.routing.catalogue import ApprovedRoutes
from appliance.routing.deferring import Deferring
from appliance.routing.monitor import Monitors
from appliance.routing.people import People
from appliance.routing.subject import CalibrationParts
from appliance.routing.targets import Targets
from appliance.routing.upstreams.stage import stages_of
from appliance.serving.replay_job import ReplayJob
from appliance.serving.replaying import Replaying
from appliance.serving.replays import ReplayDifferences
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import ApprovedTasks
from appliance.tasks.names import TaskNames
from appliance.tasks.shadows import Shadows
from appliance.tasks.task_writer import TaskWriter
from appliance.trust.statements.pointers import Pointers
from appliance.trust.statements.route_certificates import RouteCertificates
from appliance.wiring.evidence import EvidenceRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.retrieval import RetrievalRoom
from appliance.wiring.serving import ServingRoom
from appliance.wiring.trust import TrustRoom


class RoutingRoom:
    """Puts the parts together."""

    def __init__(
        self,
        log: LogRoom,
        trust: TrustRoom,
        pool: PoolRoom,
        serving: ServingRoom,
        retrieval: RetrievalRoom,
        evidence: EvidenceRoom,
    ) -> None:
        config, database, policy = log.held.config, log.database, trust.policy
        tasks = ApprovedTasks(trust.store, policy)
        self.pointers = Pointers(database, log.agreement.held("task_pointers"))
        log.agreement.when_mended(self.pointers.forget)
        texts = TaskWriter(tasks).text
        self.replays = ReplayDifferences(database, log.held.clock)
        pool.jobs.add(
            ReplayJob(
                log.reader,
                log.audit,
                lambda here: Replaying(serving.local, serving.shared.shares, texts, here=here),
                lambda: bool(serving.under_way.running()),
                log.metrics,
                self.replays,
            )
        )
        names = TaskNames(tasks, self.pointers, policy)
        self.shadows = Shadows(names, database)
        self.certificates = RouteCertificates(
            database,
            trust.now_us,
            trust.engine,
            log.agreement.held("route_certificates", "route_suspensions"),
        )
        covered = evidence.look.covered
        self.routes = ApprovedRoutes(trust.store, policy, self.certificates, tasks, covered)
        elsewhere = stages_of(serving.backends, tasks)
        calibration = CalibrationParts(
            evidence.look, self.certificates, self.routes.forget, elsewhere
        )
        pool.jobs.add(Calibration(calibration))
        self._log = log
        pool.jobs.add(RouteCarry(calibration, self.take_away))
        content = config.audit.content
        self.people = People(
            database, log.audit, log.held.clock, content, lambda: log.secret(b"queue of people")
        )
        self.monitors = Monitors(
            database,
            log.held.clock,
            lambda: log.secret(b"route samples"),
            config.routes.sample_percent / 100 if content == "encrypted" else 0.0,
            config.routes.label_days,
            trust.grace_days,
            self.take_away,
            functools.partial(outcomes.basis, calibration),
        )
        targets = Targets(tasks, elsewhere, Deferring(self.people, tasks))
        self.inference = RoutedInference(
            answering.RoutingParts(self.routes, tasks, targets, self.monitors.note),
            TaskBackends(serving.backends, tasks, names, retrieval.retrieval.evidence),
            replace(serving.shared, ended=self.shadows.note),
            serving.under_way,
        )

    def take_away(self, certificate: str, route: str, reason: str, actor: str = SYSTEM) -> None:
        """On the record; does nothing where it is already suspended."""
        if self.certificates.suspended(certificate) is None:
            self._log.decided(
                {
                    "action": "route_suspended",
                    "actor": actor,
                    "route": route,
                    "certificate": certificate,
                    "reason": reason,
                }
            )
            self.routes.suspend(certificate, reason)

    def withdraw(self, task: str, reason: str) -> None:
        """Suspend the certificates of routes that rest on a task."""
        for certificate, route in self.routes.ending_with_drift(task):
            self.take_away(certificate, route, reason)
