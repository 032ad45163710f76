"""The proof that an adapter serves as it was trained: by the engine, file and tokens that serve.

Rules: every check of `checks` is made of every adapter; one that fails ends the run with its code,
and nothing is exported. What was measured goes into the training record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.datasets.items import Item
from appliance.errors import TaskRefused
from appliance.evals import scoring
from appliance.evals.outcomes import Outcome
from appliance.evals.summary import Summary, summarise
from appliance.statistics.labels import distribution
from appliance.tasks import values
from appliance.tasks.definition import Fields, Labels
from appliance.tasks.loaded import LoadedTask
from appliance.tuning import checks
from appliance.tuning.checks import Scored
from appliance.tuning.messages import Score
from appliance.tuning.rows import Row
from appliance.tuning.served import Served

GREEDY_ROWS: Final = 50


@dataclass(frozen=True)
class Proof:
    """What the checks measured.

    Attributes:
        gap: nats a token of trainer and server on dev.
        sure: places of answers where the trainer's best token leads clearly; the server agrees in
            all of them.
        stopped: share of answers that end by themselves.
        dev: the served quality on dev.
    """

    gap: checks.Gap
    sure: int
    stopped: float
    dev: Summary

    def facts(self) -> dict[str, Any]:
        """For the record and the result."""
        return {
            "token_ids": True,
            "nll_gap": self.gap.nats,
            "nll_gap_most": self.gap.most,
            "nll_gap_error": self.gap.error,
            "nll_trained": self.gap.trained,
            "nll_served": self.gap.served,
            "greedy_places": self.sure,
            "stop_token": self.stopped,
        }


async def prove(
    served: Served,
    adapter: str,
    loaded: LoadedTask,
    items: Sequence[Item],
    rows: Sequence[Row],
    trained: Sequence[Score],
) -> Proof:
    """Hold the served adapter against the trainer.

    Args:
        adapter: its digest, loaded in the worker.
        items: of dev, whose `rows` the trainer scored.

    Raises:
        TuningRefused: `tuning_nll_gap`, `tuning_greedy_differs`, `tuning_not_stopping`.
    """
    theirs = await served.scores(rows, adapter)
    found = checks.gap([Scored(score.nats, ()) for score in trained], theirs)
    checks.check_gap(found, "The adapter")
    first = list(rows[:GREEDY_ROWS])
    ours = [
        Scored(score.nats, await served.strings(score.best), score.leads)
        for score in trained[:GREEDY_ROWS]
    ]
    sure = checks.check_greedy(first, ours, theirs[:GREEDY_ROWS])
    written = await served.answers(rows, adapter)
    ends = [(row.item, ended) for row, (_, ended) in zip(rows, written, strict=True)]
    stopped = checks.check_stops(ends)
    answers = await _answers(served, adapter, loaded, rows, [text for text, _ in written])
    outcomes = [_outcome(loaded, item, answer) for item, answer in zip(items, answers, strict=True)]
    return Proof(found, sure, stopped, summarise("adapter", outcomes, 0.0))


async def _answers(
    served: Served,
    adapter: str,
    loaded: LoadedTask,
    rows: Sequence[Row],
    written: Sequence[str],
) -> list[str | None]:
    """What an app would get."""
    output = loaded.task.output
    if isinstance(output, Labels):
        texts = [output.written(label) for label in output.labels]
        found = await served.distributions([row.prompt for row in rows], texts, adapter)
        return [output.labels[_best(distribution(one))] for one in found]
    if isinstance(output, Fields) and output.encoding == "values":
        return [_read(loaded, text) for text in written]
    return list(written)


def _best(shares: Sequence[float]) -> int:
    return max(range(len(shares)), key=lambda n: (shares[n], -n))


def _read(loaded: LoadedTask, text: str) -> str | None:
    try:
        return scoring.canonical(values.read(loaded.schema, text))
    except TaskRefused:
        return None


def _outcome(loaded: LoadedTask, item: Item, answer: str | None) -> Outcome:
    expected = scoring.expected_of(loaded.task, item)
    score = scoring.score(loaded.task, expected, answer)
    return Outcome(
        item=item.id,
        group=item.group,
        expected=expected,
        answer=answer,
        micros=round(score * 1e6),
        microseconds=1,
        stratum=item.stratum or "",
    )
