"""Services of jobs that train or quantise.

Rules: facts of a stored model come from its file; it is used only after it was verified and sealed;
threads, variant and budget are those of the engine that serves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.clock import Clock
from appliance.evals.subject import Store
from appliance.trust.artifacts.verified import VerifiedModel
from appliance.trust.gguf.gguf import GgufFacts
from appliance.tuning import plan, served
from appliance.tuning.settings import TuneSettings
from appliance.workers.cpu_variants import Variant


@dataclass(frozen=True)
class TuningParts:
    """Services that a tuning needs.

    Attributes:
        seal: verifies a model and holds it in sealed memory.
    """

    directory: Path
    store: Store
    tuning_set: Path
    facts: Callable[[str], GgufFacts]
    seal: Callable[[str], VerifiedModel]
    variant: Callable[[], Variant]
    engine: str
    threads: int
    busy: Callable[[], bool]
    clock: Clock

    def memory(self, facts: GgufFacts, chosen: TuneSettings) -> plan.MemoryPlan:
        adapter = plan.adapter_numbers(facts, chosen) * 2
        worker = served.memory(facts, chosen.longest, self.variant(), adapter)
        return plan.memory(facts, chosen, worker.total)
