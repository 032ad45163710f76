"""From outcomes of all candidates to the result of a job and its page. Pure but for the clock.

Rules: all candidates answered the same items, or there is no result; language models are compared
with logistic regression on all training items, where that can be learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from appliance.evals import metrics
from appliance.evals.baselines import LINEAR
from appliance.evals.details import CandidateDetails, details, shown, told
from appliance.evals.evidence import Retrieval
from appliance.evals.outcomes import Outcome, check_complete, digest
from appliance.evals.parameters import EvaluationWanted
from appliance.evals.plan import Candidate, EvaluationPlan
from appliance.evals.report import Evaluated, conclusion, flips
from appliance.evals.subject import EvaluationSubject
from appliance.evals.summary import Comparison, Summary, compare_all, summarise
from appliance.tasks.definition import LabelForm
from appliance.tasks.metrics import METRICS
from appliance.wire.admin.results import (
    CandidateMeasured,
    CandidatesCompared,
    EvaluationResult,
    PacksMeasured,
)

_IDS: Final = 100
"""Ids of flips that a result names on each side; the counts are whole."""


@dataclass(frozen=True)
class Measured:
    """One candidate's results.

    Attributes:
        seconds: wall time of all answers together.
        memory: bytes: of a model its process's peak since it was loaded, of a classifier its
            coefficients; 0 if unknown.
        joules: of the host's processors meanwhile; None if unknown.
    """

    candidate: Candidate
    outcomes: tuple[Outcome, ...]
    seconds: float
    memory: int = 0
    joules: float | None = None


def concluded(
    when: str,
    wanted: EvaluationWanted,
    subject: EvaluationSubject,
    plan: EvaluationPlan,
    measured: Sequence[Measured],
    packs: Mapping[str, PacksMeasured],
    retrieval: Retrieval | None = None,
) -> tuple[EvaluationResult, Evaluated]:
    """Raises EvaluationRefused (`outcomes_incomplete`)."""
    task = subject.loaded.task
    for found in measured:
        check_complete(found.outcomes, [item.id for item in subject.items])
    by_name = {found.candidate.name: found for found in measured}
    outcomes = {name: found.outcomes for name, found in by_name.items()}
    summaries = [summarise(name, m.outcomes, m.seconds) for name, m in by_name.items()]
    metric = METRICS[task.gate.metric]
    if metric.ranked:  # a confidence is that of one label
        summaries = [replace(s, calibration_error=None, reliability=()) for s in summaries]
    # What was erased since it was asked has a score alone.
    readable = {name: [o for o in some if not o.erased] for name, some in outcomes.items()}
    more = {name: details(subject.loaded, some) for name, some in readable.items()}
    baseline = LINEAR if LINEAR in by_name else next(iter(by_name))
    compared = {
        name: some for name, some in outcomes.items()
        if name == baseline or by_name[name].candidate.kind != "baseline"
    }  # fmt: skip
    comparisons = compare_all(baseline, compared) if len(compared) > 1 else []
    labels = task.output.labels if isinstance(task.output, LabelForm) else ()
    notes = list(plan.notes)
    if retrieval is not None and len(retrieval.generations) > 1:
        notes.append(f"The collection {retrieval.collection} changed while it was searched.")
    evaluated = Evaluated(
        task=task.id,
        metric=metric.title,
        split=wanted.split,
        summaries=summaries,
        baseline=baseline,
        comparisons=comparisons,
        made_of=_made_of(subject, by_name),
        when=when,
        ceiling=subject.ceiling,
        labels=labels,
        confusions={name: _confusion(labels, o) for name, o in readable.items()}
        if labels
        else None,
        details=more,
        memory={name: found.memory for name, found in by_name.items()},
        notes=notes,
        flips=flips(comparisons, outcomes),
        packs=packs,
        retrieval=retrieval,
        language_models=[
            name for name, m in by_name.items()
            if m.candidate.model and m.candidate.kind != "neighbours"
        ],
    )  # fmt: skip
    answer, _ = conclusion(evaluated)
    result = EvaluationResult(
        task=task.id,
        version=task.version,
        metric=task.gate.metric,
        data=wanted.data,
        split=wanted.split,
        items=len(subject.items),
        answer=answer,
        baseline=baseline,
        candidate=next((c.name for c in plan.candidates if c.kind in ("own", "model")), None),
        drafts=list(subject.drafts),
        label_agreement=subject.ceiling,
        candidates=[_row(s, by_name[s.name], more[s.name]) for s in summaries],
        comparisons=[_compared(c) for c in comparisons],
        packs=dict(packs),
        notes=notes,
        retrieval=None if retrieval is None else retrieval.told(),
        digests=dict(evaluated.made_of),
    )
    return result, evaluated


def _made_of(subject: EvaluationSubject, measured: Mapping[str, Measured]) -> dict[str, str]:
    told = {"task": subject.loaded.digest, "dataset": subject.data_digest}
    for name, found in measured.items():
        if found.candidate.model:
            told[f"model {found.candidate.model}"] = found.candidate.digest
        told[f"outcomes of {name}"] = digest(found.outcomes)
    return told


def _confusion(labels: Sequence[str], outcomes: Sequence[Outcome]) -> Sequence[Sequence[int]]:
    """Other answers are among the failures."""
    _, counts = metrics.confusion(
        labels, [o.expected for o in outcomes], [o.answer for o in outcomes]
    )
    return [row[: len(labels)] for row in counts]


def _row(summary: Summary, measured: Measured, more: CandidateDetails) -> CandidateMeasured:
    return CandidateMeasured(
        name=summary.name,
        kind=measured.candidate.kind,
        model=measured.candidate.model or None,
        quality=summary.quality.value,
        interval=summary.quality.interval,
        groups=summary.quality.groups,
        wrong=summary.wrong,
        documents_s=summary.documents_per_second,
        p50_s=summary.p50,
        p95_s=summary.p95,
        tokens=summary.tokens,
        memory_bytes=measured.memory,
        joules=None if measured.joules is None else measured.joules / len(measured.outcomes),
        failures=summary.failures,
        slices={name: told(estimate) for name, estimate in summary.slices.items()},
        calibration_error=shown(summary.calibration_error),
        outcomes=digest(measured.outcomes),
        adherence=shown(more.adherence),
        macro_f1=shown(more.macro_f1),
        levels={name: told(estimate) for name, estimate in more.levels.items()},
        fields={name: told(estimate) for name, estimate in more.fields.items()},
        normalised_match=shown(more.normalised),
        token_f1=shown(more.token_f1),
        refusals=more.refusals,
        evidence=shown(more.evidence),
        verified=shown(more.verified),
        citation_precision=shown(more.citation_precision),
    )


def _compared(comparison: Comparison) -> CandidatesCompared:
    return CandidatesCompared(
        candidate=comparison.first,
        baseline=comparison.second,
        difference=comparison.difference.value,
        interval=comparison.difference.interval,
        confidence=comparison.confidence,
        gained=len(comparison.gained),
        lost=len(comparison.lost),
        gained_items=list(comparison.gained[:_IDS]),
        lost_items=list(comparison.lost[:_IDS]),
    )
