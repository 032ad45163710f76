"""The proof that an adapter serves as it was trained: by the engine, file and tokens that serve.

Rules: every adapter passes every check of `checks`, or nothing is exported. An answer whose tokens
are all the most likely is not generated again. Others are generated as they are served: fields held
to their schema, anything else freely.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.tuning import checks
from appliance.tuning.checks import Scored
from appliance.tuning.messages import Score
from appliance.tuning.rows import TokenRow
from appliance.tuning.served import Served
from appliance.types import Constraint

GREEDY_ROWS: Final = 50
_WRITTEN: Final = 3
"""One row of so many is written in a rehearsal: a tuned model is right more often than that."""


@dataclass(frozen=True)
class AdapterForm:
    """Form of answers when they are served.

    Attributes:
        most: tokens of an answer; None for what the context leaves.
    """

    constraint: Constraint
    most: int | None


@dataclass(frozen=True)
class AdapterProof:
    """Measurements of the checks.

    Attributes:
        gap: in nats a token, on dev.
        sure: places where the trainer's best token leads clearly; the server agrees in all.
    """

    gap: checks.Gap
    sure: int
    stopped: float


async def prove(
    served: Served,
    adapter: str,
    rows: Sequence[TokenRow],
    trained: Sequence[Score],
    form: AdapterForm | None = None,
) -> AdapterProof:
    """Compare with the trainer.

    Args:
        served: reproducible.
        adapter: its digest, loaded in the worker.
        form: of the answers; None for free text.
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
    stopped = checks.check_stops(await ends(served, adapter, rows, theirs, form))
    return AdapterProof(found, sure, stopped)


async def ends(
    served: Served,
    adapter: str,
    rows: Sequence[TokenRow],
    scored: Sequence[Scored],
    form: AdapterForm | None = None,
) -> list[tuple[str, bool]]:
    """Each row's item, and whether the answer ends."""
    others = [row for row, score in zip(rows, scored, strict=True) if not score.written]
    if form is None:
        ended = [end for _, end in await served.answers(others, adapter)]
    else:
        texts = await served.formed(others, form.constraint, form.most, adapter)
        ended = [text is not None for text in texts]
    late = {row.item for row, end in zip(others, ended, strict=True) if not end}
    return [(row.item, row.item not in late) for row in rows]


async def rehearsed(served: Served, adapter: str, rows: Sequence[TokenRow]) -> None:
    """Time the requests of `prove`."""
    await served.scores(rows, adapter)
    await served.answers(rows[::_WRITTEN], adapter, slack=0)  # a tuned model ends by itself
