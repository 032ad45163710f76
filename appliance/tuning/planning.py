"""The phases of a tuning that only plans: a few steps and a few rows of dev are measured.

Rules: nothing is kept; the engine gets the requests of a run, with an adapter that changes nothing
and takes as long as a trained one.
"""

import time
from dataclasses import asdict, dataclass
from typing import Final

import msgspec

from appliance.tuning import adapter_file, forgetting, plan
from appliance.tuning.dev_quality import rehearsal
from appliance.tuning.phases import UNTRAINED, TuningRun
from appliance.tuning.plan import MeasuredPace
from appliance.tuning.proof import rehearsed
from appliance.tuning.served import Served, attached
from appliance.tuning.training import Trial, trial
from appliance.wire.admin.results import TuningPlanned

_TRIAL: Final = 8
_SAMPLE: Final = 12


@dataclass(frozen=True)
class Tried:
    """Seconds of the first phase.

    Attributes:
        read: of the rows and the scores of the untrained model and the other texts.
        row: of the proof for a row of dev.
    """

    trial: Trial
    read: float
    row: float


async def tried(run: TuningRun, served: Served, begun: float) -> Tried:
    """Time a few rows of all but the measurement on dev.

    Args:
        served: reproducible.
        begun: start of the job, on the monotonic clock.
    """
    read = time.monotonic() - begun
    order = run.order
    steps = plan.work(order.rows, order.dev, order.settings).steps
    few = msgspec.structs.replace(order, trial=min(_TRIAL, steps))
    found = await trial(run.model.sealed, few, run.parts.tuning_set, run.report)
    scoring = time.monotonic()
    run.report(UNTRAINED, 0, 0)
    await served.scores(order.frozen)
    run.report("rehearsing the proof", 0, 0)
    sample = order.dev[:_SAMPLE]
    async with attached(served, _blank(run)) as digest:
        fixed = await forgetting.texts(served, run.given.begin, order.settings.longest)
        await forgetting.forgotten(served, digest, fixed)
        proving = time.monotonic()
        await rehearsed(served, digest, sample)
    row = (time.monotonic() - proving) / len(sample)
    return Tried(found, read + proving - scoring, row)


async def planned(run: TuningRun, served: Served, before: Tried) -> TuningPlanned:
    """Estimate work and memory; `served` is as for apps."""
    order, found = run.order, before.trial
    computed = plan.work(order.rows, order.dev, order.settings, run.wanted.seeds)
    needs = run.parts.memory(run.model.facts, order.settings)
    sample, begun = order.dev[:_SAMPLE], time.monotonic()
    async with attached(served, _blank(run)) as digest:
        await rehearsal(served, digest, run.given.subject.loaded, sample)
    row = before.row + (time.monotonic() - begun) / len(sample)
    pace = MeasuredPace(before.read, found.begin, found.token, row)
    return TuningPlanned(
        rows=len(order.rows),
        dev=len(order.dev),
        steps=computed.steps,
        tokens=computed.tokens,
        longest=max(len(row.tokens) for row in (*order.rows, *order.dev)),
        seconds=round(computed.seconds(pace), 1),
        pace={name: round(value, 4) for name, value in asdict(pace).items()},
        memory_mib=needs.total // plan.MIB,
        server_mib=needs.server // plan.MIB,
        memory=needs.describe(),
        trainer_peak_mib=found.peak // plan.MIB,
        settings=msgspec.to_builtins(order.settings),
    )


def _blank(run: TuningRun) -> bytes:
    chosen, facts = run.order.settings, run.model.facts
    matrices = adapter_file.zeros(facts, chosen.rank)
    architecture = facts.architecture
    return adapter_file.write(matrices, architecture=architecture, name="blank", alpha=chosen.alpha)
