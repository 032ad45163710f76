"""What a tuned model forgets: its loss on fixed texts that have nothing to do with the task.

Rules: the texts are pinned ones of the packs, cut to what a row may have; the engine that serves
scores them untuned and with the adapter; a model that lost more than was allowed is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.errors import TuningRefused
from appliance.evals.packs.items import items
from appliance.tuning.checks import Scored
from appliance.tuning.rows import Row
from appliance.tuning.served import Served

MOST: Final = 4.0
"""Nats a token that a tuned model may lose, unless another limit is asked for."""
_EACH: Final = 3
"""One piece in so many is scored: about 700 tokens, English and German."""


@dataclass(frozen=True)
class Forgotten:
    """The mean loss on the texts, in nats a token."""

    untuned: float
    tuned: float

    @property
    def nats(self) -> float:
        """How much worse the tuned model is; below 0 where it is better."""
        return self.tuned - self.untuned

    def facts(self, most: float) -> dict[str, Any]:
        """For the record and the result."""
        return {
            "texts_untuned": self.untuned,
            "texts_tuned": self.tuned,
            "forgotten": self.nats,
            "forgotten_most": most,
        }


async def texts(served: Served, begin: int | None, longest: int) -> tuple[Row, ...]:
    """The texts in tokens.

    Args:
        begin: the token that begins a text, None where the model has none.
        longest: most tokens of each.
    """
    found = []
    for item in items("frozen")[::_EACH]:
        tokens = await served.text(item.prompt)
        whole = (tokens if begin is None else (begin, *tokens))[:longest]
        found.append(Row(item.id, whole[:1], whole[1:]))
    return tuple(found)


async def forgotten(served: Served, adapter: str, rows: Sequence[Row]) -> Forgotten:
    """What the texts lose by an adapter that is loaded.

    Args:
        adapter: its digest.
        rows: of `texts`.
    """
    return Forgotten(_mean(await served.scores(rows)), _mean(await served.scores(rows, adapter)))


def check(found: Forgotten, most: float) -> None:
    """Refuse a model that lost too much.

    Raises:
        TuningRefused: `tuning_forgets`; a loss that is no number is one, too.
    """
    if not found.nats <= most:
        raise TuningRefused(
            "tuning_forgets",
            f"On texts that are not of the task the tuned model has {found.tuned:.2f} nats a token "
            f"and the untuned one {found.untuned:.2f}; it may lose {most:.2f}.",
        )


def _mean(scored: Sequence[Scored]) -> float:
    nats = [value for one in scored for value in one.nats]
    return sum(nats) / len(nats)
