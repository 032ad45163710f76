"""Forgetting of a tuned model: its loss on fixed texts that have nothing to do with the task.

Rules: the texts are pinned sentences of the packs; a model is refused unless its loss, in the
engine that serves, is shown to have risen by no more than is allowed, over sentences as groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.errors import TuningRefused
from appliance.evals.packs.items import sentences
from appliance.statistics import groups
from appliance.statistics.groups import GroupMean
from appliance.tuning.checks import Scored
from appliance.tuning.rows import TokenRow
from appliance.tuning.served import Served

MOST: Final = 0.5
"""Nats a token that a tuned model may lose, unless another limit is asked for: what good trainings
lose stays below it.
"""


@dataclass(frozen=True)
class Forgotten:
    """The loss on the texts, in nats a token.

    Attributes:
        untuned, tuned: means.
        lost: increase with a 95 % interval; below 0 where the tuned model is better.
    """

    untuned: float
    tuned: float
    lost: GroupMean


async def texts(served: Served, begin: int | None, longest: int) -> tuple[TokenRow, ...]:
    """The texts in tokens, without those of a single token.

    Args:
        begin: the token that begins a text, None where the model has none.
        longest: most tokens of each.
    """
    found = []
    for item in sentences():
        tokens = await served.text(item.prompt)
        whole = (tokens if begin is None else (begin, *tokens))[:longest]
        if len(whole) > 1:
            found.append(TokenRow(item.id, whole[:1], whole[1:]))
    return tuple(found)


async def forgotten(served: Served, adapter: str, rows: Sequence[TokenRow]) -> Forgotten:
    """By a loaded adapter, named by its digest."""
    return compared(await served.scores(rows), await served.scores(rows, adapter))


def compared(untuned: Sequence[Scored], tuned: Sequence[Scored]) -> Forgotten:
    """The loss on the same texts, untuned and tuned."""
    before, after = ([sum(one.nats) for one in side] for side in (untuned, tuned))
    tokens = [len(one.nats) for one in untuned]
    lost = [late - early for early, late in zip(before, after, strict=True)]
    return Forgotten(
        sum(before) / sum(tokens), sum(after) / sum(tokens), groups.ratio(lost, tokens)
    )


def check(found: Forgotten, most: float) -> None:
    """Refuse a loss above `most`, or one that is no number: TuningRefused (`tuning_forgets`)."""
    if not found.lost.interval.high <= most:
        low, high = found.lost.interval
        raise TuningRefused(
            "tuning_forgets",
            f"On {found.lost.groups} sentences that are not of the task the tuned model has "
            f"{found.tuned:.2f} nats a token and the untuned one {found.untuned:.2f}: it lost "
            f"{low:.2f} to {high:.2f}, and may lose {most:.2f}.",
        )
