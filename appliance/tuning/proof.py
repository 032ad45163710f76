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
from appliance.tuning.candidates import best_label, outcome
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
        outcomes: the served answers on dev.
        shares: the distributions over the labels; empty for another form.
    """

    gap: checks.Gap
    sure: int
    stopped: float
    dev: Summary
    outcomes: tuple[Outcome, ...] = ()
    shares: tuple[list[float], ...] = ()

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
    texts = [text for text, _ in written]
    outcomes, shares = await measured(served, adapter, loaded, items, rows, texts)
    summary = summarise("adapter", outcomes, 0.0)
    return Proof(found, sure, stopped, summary, outcomes, tuple(shares))


async def rehearsed(
    served: Served, loaded: LoadedTask, items: Sequence[Item], rows: Sequence[Row]
) -> None:
    """What `prove` asks of the engine, without an adapter: how long it takes is wanted."""
    await served.scores(rows)
    written = await served.answers(rows, slack=0)  # a tuned model ends by itself
    await measured(served, "", loaded, items, rows, [text for text, _ in written])


async def measured(
    served: Served,
    adapter: str,
    loaded: LoadedTask,
    items: Sequence[Item],
    rows: Sequence[Row],
    written: Sequence[str] | None = None,
) -> tuple[tuple[Outcome, ...], list[list[float]]]:
    """The answers to items, and the distributions over labels where the form has them.

    Args:
        written: what the model wrote, if that is known.
    """
    shares = await _shares(served, adapter, loaded, rows)
    if not shares and written is None:
        written = [text for text, _ in await served.answers(rows, adapter)]
    answers = _answers(loaded, written or (), shares)
    pairs = zip(items, answers, strict=True)
    return tuple(outcome(loaded.task, item, answer) for item, answer in pairs), shares


async def _shares(
    served: Served, adapter: str, loaded: LoadedTask, rows: Sequence[Row]
) -> list[list[float]]:
    """The distribution over the labels after each prompt; none for another form."""
    output = loaded.task.output
    if not isinstance(output, Labels):
        return []
    texts = [output.written(label) for label in output.labels]
    found = await served.distributions([row.prompt for row in rows], texts, adapter)
    return [distribution(one) for one in found]


def _answers(
    loaded: LoadedTask, written: Sequence[str], shares: Sequence[Sequence[float]]
) -> list[str | None]:
    """What an app would get."""
    output = loaded.task.output
    if isinstance(output, Labels):
        return [best_label(output, one) for one in shares]
    if isinstance(output, Fields) and output.encoding == "values":
        return [_read(loaded, text) for text in written]
    return list(written)


def _read(loaded: LoadedTask, text: str) -> str | None:
    try:
        return scoring.canonical(values.read(loaded.schema, text))
    except TaskRefused:
        return None
