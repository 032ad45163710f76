"""Values of outcomes besides the task's metric: fields, adherence, refusals. Pure.

Rules: these decide nothing; means are weighted by group and have intervals, like the metric;
failures count as wrong everywhere.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

from appliance.evals import metrics
from appliance.evals.outcomes import Outcome
from appliance.statistics import groups
from appliance.statistics.groups import GroupMean
from appliance.tasks.definition import JsonForm, LabelForm, Text
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.matching import alike, fields_right, object_of
from appliance.wire.admin.results import Estimated


@dataclass(frozen=True)
class CandidateDetails:
    """Details of one candidate.

    Attributes:
        adherence: share of answers that have the task's form; None for free text.
        levels: of labels; share of answers with the expected parent, by level of the task.
        normalised, token_f1: of free text.
        evidence: of a task with a collection, the share of answers with a verified quotation.
        verified: of the answers that quote, the share of verified quotations and marks.
        citation_precision: of the answers with verified quotations to items that name their
            documents, the share of the quotations from one of these.
    """

    adherence: GroupMean | None = None
    macro_f1: GroupMean | None = None
    levels: dict[str, GroupMean] = field(default_factory=dict)
    fields: dict[str, GroupMean] = field(default_factory=dict)
    normalised: GroupMean | None = None
    token_f1: GroupMean | None = None
    refusals: int = 0
    evidence: GroupMean | None = None
    verified: GroupMean | None = None
    citation_precision: GroupMean | None = None


def details(loaded: LoadedTask, outcomes: Sequence[Outcome]) -> CandidateDetails:
    """Details of one candidate."""

    def mean(score: Callable[[Outcome], float]) -> GroupMean:
        return groups.mean([score(o) for o in outcomes], [o.group for o in outcomes])

    output = loaded.task.output
    refusals = sum(metrics.refuses(o.answer) for o in outcomes)
    match output:
        case LabelForm():
            expected, answers = [o.expected for o in outcomes], [o.answer for o in outcomes]
            return CandidateDetails(
                adherence=mean(lambda o: float(o.answer in output.labels)),
                macro_f1=metrics.macro_f1(
                    output.labels, expected, answers, [o.group for o in outcomes]
                ),
                levels={name: mean(partial(_belongs, output, name)) for name in output.levels},
                refusals=refusals,
            )
        case JsonForm():
            schema = loaded.schema
            return CandidateDetails(
                adherence=mean(lambda o: float(schema.accepts(object_of(o.answer)))),
                fields={n: mean(partial(field_right, loaded, n)) for n in field_names(outcomes)},
                refusals=refusals,
            )
        case Text():
            return _of_text(outcomes, mean, refusals)
        case _:
            assert_never(output)


def _of_text(
    outcomes: Sequence[Outcome],
    mean: Callable[[Callable[[Outcome], float]], GroupMean],
    refusals: int,
) -> CandidateDetails:
    plain = CandidateDetails(
        normalised=mean(lambda o: alike(o.expected, o.answer)),
        token_f1=mean(lambda o: metrics.token_f1(o.expected, o.answer)),
        refusals=refusals,
    )
    if all(o.cited is None for o in outcomes):
        return plain
    return replace(
        plain,
        evidence=mean(lambda o: float(bool(o.cited))),
        verified=_share(
            (o, o.cited, o.cited + o.cited_removed)
            for o in outcomes
            if o.cited is not None and o.cited_removed is not None
        ),
        citation_precision=_share(
            (o, o.cited_right, o.cited)
            for o in outcomes
            if o.cited is not None and o.cited_right is not None
        ),
    )


def _share(parts: Iterable[tuple[Outcome, int, int]]) -> GroupMean | None:
    """None where every whole is 0."""
    known = [(o.group, part / whole) for o, part, whole in parts if whole]
    return groups.mean([v for _, v in known], [g for g, _ in known]) if known else None


def _belongs(output: LabelForm, level: str, outcome: Outcome) -> float:
    if outcome.answer not in output.labels:
        return 0.0
    return float(output.at(level, outcome.answer) == output.at(level, outcome.expected))


def field_names(outcomes: Sequence[Outcome]) -> list[str]:
    """Any item's expected fields, sorted."""
    return sorted({name for o in outcomes for name in json.loads(o.expected)})


def field_right(loaded: LoadedTask, name: str, outcome: Outcome) -> float:
    """1 or 0; an unexpected field is right when left out."""
    wanted, given = json.loads(outcome.expected), object_of(outcome.answer)
    if name not in wanted:
        return float(given is not None and name not in given)
    return fields_right(wanted, given, loaded.task.compare)[name]


def told(estimate: GroupMean) -> Estimated:
    """An estimate as in a result."""
    return (estimate.value, *estimate.interval)


def shown(estimate: GroupMean | None) -> Estimated | None:
    """As `told`."""
    return None if estimate is None else told(estimate)
