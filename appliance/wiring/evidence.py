"""Evidence of tasks: datasets, looks, evaluations, gates, and what is trained from them."""

import functools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from appliance.datasets.job import Checking, CheckParts
from appliance.datasets.label_queues import LabelQueues
from appliance.datasets.ledger import LedgerLook, LookLedger
from appliance.datasets.marks import SplitMarks
from appliance.errors import StateRefused
from appliance.evals.carry import Carry
from appliance.evals.gate import GateJob
from appliance.evals.job import DIRECTORY, EvaluationJob, Parts
from appliance.evals.subject import ApprovedArtifacts, read_data
from appliance.host.hardware import available_cores
from appliance.looks.subject import LookParts
from appliance.trust.bytes import ecdsa
from appliance.tuning import exporting, quantizing, teaching
from appliance.tuning.job import TuningJob
from appliance.tuning.quantizing import Quantizing
from appliance.tuning.services import TuningParts
from appliance.tuning.teaching import Teaching
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.retrieval import RetrievalRoom
from appliance.wiring.serving import ServingRoom
from appliance.wiring.trust import TrustRoom
from appliance.workers.supervisor import ENGINE, engine_version


class EvidenceRoom:
    """Puts the parts together.

    Attributes:
        look: what every look at a sealed split needs.
    """

    def __init__(
        self,
        log: LogRoom,
        trust: TrustRoom,
        pool: PoolRoom,
        serving: ServingRoom,
        retrieval: RetrievalRoom,
    ) -> None:
        held = log.held
        approved, jobs = ApprovedArtifacts(trust.store, trust.policy), pool.jobs
        self.ledger = LookLedger(log.database, log.agreement.held("looks"))
        self.labels = LabelQueues(log.database, held.clock, log.agreement.held(owners=["labels"]))
        jobs.add(
            Checking(
                CheckParts(
                    read=lambda name: read_data(approved, name)[1],
                    context=serving.context,
                    tokens=serving.count,
                )
            )
        )
        parts = Parts(
            directory=held.data / DIRECTORY,
            store=approved,
            backends=serving.backends,
            inference=serving.answers,
            digest_of=serving.digest_of,
            tokens=serving.tokens,
            memory=pool.most_memory,
            clock=held.clock,
            documents=retrieval.retrieval.evidence,
        )
        jobs.add(EvaluationJob(parts))
        jobs.add(Teaching(replace(parts, directory=held.data / teaching.DIRECTORY)))
        self.look = LookParts(
            directory=parts.directory,
            store=trust.store,
            ledger=self.ledger,
            audit=log.audit,
            policy=trust.policy,
            fresh=trust.fresh,
            backends=serving.backends,
            inference=serving.answers,
            kek=log.kek,
            evidence=trust.evidence_key,
            template_of=trust.template_of,
            log=log.reader.origin,
            clock=held.clock,
            marks_key=trust.marks_key,
            labels=self.labels,
            covered=lambda model_id: trust.covered(model_id, pool.supervisor.covers),
            documents=parts.documents,
            agreed=functools.partial(_agreed, log, trust),
        )
        jobs.add(GateJob(self.look))
        jobs.add(Carry(self.look, pool.suspend))
        tuning = TuningParts(
            directory=held.data / exporting.DIRECTORY,
            store=approved,
            tuning_set=Path(held.config.tuning.directory or f"{sys.prefix}/tuning"),
            facts=trust.tensors_of,
            seal=trust.seal,
            variant=pool.supervisor.variant.get,
            engine=f"{ENGINE} {engine_version()}",
            threads=held.config.tuning.threads or available_cores(),
            busy=lambda: bool(serving.under_way.running()),
            clock=held.clock,
        )
        jobs.add(TuningJob(tuning))
        jobs.add(Quantizing(tuning, held.data / quantizing.DIRECTORY, trust.adapters_of))


def _agreed(
    log: LogRoom, trust: TrustRoom, look: LedgerLook, marks: SplitMarks
) -> Sequence[LedgerLook]:
    """Looks of other appliances, which know of this one now; none for an appliance alone."""
    if log.agree is not None:
        return log.agree(look, marks)
    listed = trust.policy().site.members
    if listed and ecdsa.hint(trust.evidence_key().public_key()) in listed:
        raise StateRefused("looks_unagreed", "appliance.toml has no [peers].")
    return ()
