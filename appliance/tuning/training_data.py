"""Training and dev data: the task, its items, and their rows by the engine that serves.

Rules: an item that the prompt shows has no row; too few rows, or rows that would teach something
else than is served, are refused before any computation.
"""

from dataclasses import dataclass
from typing import Final

from appliance.datasets.items import Item
from appliance.errors import TuningRefused
from appliance.evals.subject import EvaluationSubject
from appliance.text import many
from appliance.tuning import examples, rows
from appliance.tuning.rows import TokenRow
from appliance.tuning.served import Served

_FROZEN: Final = 4_000
_FEWEST: Final = 8


@dataclass(frozen=True)
class TrainingItems:
    """The task, and items with their rows.

    Attributes:
        begin: the token that begins a text, None where the model has none.
    """

    subject: EvaluationSubject
    items: tuple[Item, ...]
    dev_items: tuple[Item, ...]
    rows: tuple[TokenRow, ...]
    dev: tuple[TokenRow, ...]
    stop: int
    begin: int | None

    def check(self, longest: int) -> None:
        every = [*self.rows, *self.dev]
        rows.check(every, stop=self.stop, begin=self.begin, longest=longest)

    def frozen(self) -> tuple[TokenRow, ...]:
        """`_FROZEN` tokens of text, or all.

        Text that rows share would count once for each row.
        """
        every = (*self.dev, *self.rows)
        start, found, tokens = max(1, rows.common_prefix(every)), [], 0
        for row in every:
            if tokens >= _FROZEN:
                break
            found.append(TokenRow(row.item, row.tokens[:start], row.tokens[start:]))
            tokens += len(row.tokens) - start
        return tuple(found)


async def read(served: Served, subject: EvaluationSubject, dev: tuple[Item, ...]) -> TrainingItems:
    """Rows of both splits, `train` from the subject. Raises TuningRefused (`tuning_rows`)."""
    stop, begin = await examples.stop_token(served), await served.begin()
    learned = await examples.rows(served, subject.loaded, subject.items, stop)
    chosen = await examples.rows(served, subject.loaded, dev, stop)
    if len(learned) < _FEWEST or len(chosen) < _FEWEST:
        raise TuningRefused(
            "tuning_rows",
            f"{many(len(learned), 'row')} of train and {len(chosen)} of dev are too "
            "few: each split "
            f"needs {_FEWEST}.",
        )
    named = {row.item for row in learned}
    items = tuple(item for item in subject.items if item.id in named)
    return TrainingItems(subject, items, dev, learned, chosen, stop, begin)
