"""Record of open items at a certification, which another engine must repeat.

Rules: items of the split `dev`, one of each group before a second one, chosen by a hash of their
ids; 200, or as many as bound a change by the room that the certificate leaves, at most 1,000; only
digests of the answers are kept. An item that differs is asked twice more: answers vary a little
during other requests. A failure of ours differs from no answer.

Source: method.md, rule 6.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias, TypeVar

from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused
from appliance.looks.lost_items import OURS
from appliance.types import Json

ITEMS: Final = 200
MOST_ITEMS: Final = 1_000
AGAIN: Final = 2
T = TypeVar("T")
Ask: TypeAlias = Callable[[Item], Awaitable[T]]
"""Asks one item."""


def chosen(items: Sequence[Item], wanted: Mapping[str, int] = MappingProxyType({})) -> list[Item]:
    """The items to ask.

    Args:
        wanted: how many groups there should be of a stratum; "" is all of them.
    """
    ordered = sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).digest())
    first = list({item.group: item for item in reversed(ordered)}.values())[::-1]
    alone = {item.id for item in first}
    found = [*first, *(item for item in ordered if item.id not in alone)]
    count = min(ITEMS, len(found))
    while count < min(MOST_ITEMS, len(found)) and not _enough(found[:count], wanted):
        count += 1
    return found[:count]


def _enough(items: Sequence[Item], wanted: Mapping[str, int]) -> bool:
    there = groups(items, wanted)
    return all(there[name] >= count for name, count in wanted.items())


def groups(items: Sequence[Item], strata: Collection[str]) -> dict[str, int]:
    """The number of groups of each stratum; "" is all of them."""
    return {
        name: len({item.group for item in items if name in ("", item.stratum)}) for name in strata
    }


class Answered(Protocol):
    """The answer to an item."""

    @property
    def item(self) -> str: ...
    @property
    def answer(self) -> str | None: ...
    @property
    def failure(self) -> str: ...


def digest(outcome: Answered) -> str:
    """Hex SHA-256 of an answer, or of the code of a failure."""
    told = [outcome.answer, outcome.failure]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()


async def answers(ask: Ask[Answered], items: Sequence[Item]) -> bytes:
    """Answers as JSON, from id to digest."""
    told = {item.id: await ask(item) for item in items}
    found = {name: digest(one) for name, one in told.items() if one.failure not in OURS}
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def read(data: bytes) -> dict[str, Json]:
    """Records by id, as `answers` or a calibration wrote them."""
    return dict(json.loads(data))


def check_asked(item: Item, failure: str) -> None:
    """Refuse an item unanswered for a reason of ours (`gate_interrupted`)."""
    if failure in OURS:
        message = f"{item.id} could not be asked: {failure}. The certificate stays as it is."
        raise EvaluationRefused("gate_interrupted", message)


async def flips(
    ask: Ask[Json],
    items: Mapping[str, Item],
    before: Mapping[str, Json],
    report: Callable[[int], None],
) -> list[str]:
    """Ids whose record differs every time.

    Args:
        items: by id; a missing one is a flip.
        report: gets the number done.
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
