"""Two candidates of finished evaluations, item by item.

Rules: they answered the same items of the same dataset; a failure is wrong; the files of outcomes
must have the digest that the result states, unless texts in them were erased since.
"""

from pathlib import Path

from appliance.errors import EvaluationRefused
from appliance.evals.outcomes import Outcome, digest
from appliance.evals.parameters import OPEN
from appliance.evals.report import ItemFlip, flips_of
from appliance.evals.store import OutcomeFiles, read_result
from appliance.evals.summary import Comparison, compare

Named = tuple[int, str]
"""An evaluation and one of its candidates; "" for the task as it is written."""


def compare_stored(
    evaluations: Path, first: Named, second: Named
) -> tuple[Comparison, list[ItemFlip], int]:
    """Comparison, flips, and the number of items.

    Raises:
        EvaluationRefused: as `outcomes_of`; `outcomes_incomplete` for other items.
    """
    one, other = (outcomes_of(evaluations, *named) for named in (first, second))
    names = [f"{number}: {name}" for (number, _), (name, _, _) in ((first, one), (second, other))]
    if one[2] != other[2]:
        raise EvaluationRefused(
            "outcomes_incomplete",
            f"{first[0]} and {second[0]} measured different datasets, or by different metrics.",
        )
    found = compare(names[0], one[1], names[1], other[1])
    return found, flips_of(found, one[1], other[1]), len(one[1])


def outcomes_of(
    evaluations: Path, number: int, wanted: str
) -> tuple[str, list[Outcome], tuple[str, str]]:
    """Name, outcomes, and facts that both sides must share.

    Raises:
        EvaluationRefused: `report_missing`, `candidate_unknown`, `outcomes_invalid`,
            `dataset_sealed` when the split may not be named.
    """
    result = read_result(evaluations, number)
    if result.split not in OPEN:
        raise EvaluationRefused(
            "dataset_sealed", f"Evaluation {number} is not of train or dev: no item of it is shown."
        )
    rows = result.candidates
    name = wanted or result.candidate or result.baseline
    places = [place for place, row in enumerate(rows) if row.name == name]
    if not places:
        known = ", ".join(row.name for row in rows)
        raise EvaluationRefused(
            "candidate_unknown", f"Evaluation {number} has no candidate {name[:80]!r}, but {known}."
        )
    outcomes = OutcomeFiles(evaluations / str(number)).read(places[0])
    erased = any(outcome.erased for outcome in outcomes)
    if not erased and digest(outcomes) != rows[places[0]].outcomes:
        raise EvaluationRefused(
            "outcomes_invalid", f"The outcomes of {name} in {number} are not those of its result."
        )
    return name, outcomes, (result.digests["dataset"], result.metric)
