"""What was done with open items when something was certified, which another engine must do again.

Rules: open items alone, of the split `dev`, at most 200, chosen by a hash of their ids; they are
asked one after another; only digests of the answers are kept. An item that differs is asked again,
twice: answers vary a little beside other requests under one engine, too.

Source: method.md, rule 6.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

from appliance.datasets.items import Item
from appliance.evals.outcomes import Outcome
from appliance.types import Json

ITEMS: Final = 200
AGAIN: Final = 2
T = TypeVar("T")
Ask: TypeAlias = Callable[[Item], Awaitable[T]]
"""What is done with an item."""


def chosen(items: Sequence[Item]) -> list[Item]:
    """The items that are asked, in the order of a hash of their ids."""
    return sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).digest())[:ITEMS]


def digest(outcome: Outcome) -> str:
    """Hex SHA-256 of an answer, or of the code of a failure."""
    told = [outcome.answer, outcome.failure]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()


async def answers(ask: Ask[Outcome], items: Sequence[Item]) -> bytes:
    """The answers to items by digest: a JSON object, from id to digest."""
    found = {item.id: digest(await ask(item)) for item in items}
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def read(data: bytes) -> dict[str, Json]:
    """What was done with each item, by its id, as `answers` or a calibration wrote it."""
    return dict(json.loads(data))


async def flips(
    ask: Ask[Json],
    items: Mapping[str, Item],
    before: Mapping[str, Json],
    report: Callable[[int], None],
) -> list[str]:
    """The ids of the items with which something else is done than before, every time.

    Args:
        items: by id; one that is missing is a flip.
        report: called with how many are done.
    """
    found = []
    for number, (name, wanted) in enumerate(before.items()):
        report(number)
        if name not in items or not await _same(ask, items[name], wanted):
            found.append(name)
    return found


async def _same(ask: Ask[Json], item: Item, wanted: Json) -> bool:
    for _ in range(1 + AGAIN):
        if await ask(item) == wanted:
            return True
    return False
