"""Models in memory: which is loaded next, evicted, or was idle too long.

Rules:
- The models in memory never take more than the budget together; a model that is being loaded or
  ended counts in full.
- A busy, pinned or changing model is never evicted; of the others only as many as are needed, in
  the order of their last use.
- Models that wait for memory are served in the order of their first request. When one waits for
  models that are always busy, these admit no new requests once they have served for its patience:
  their running answers end, then they are evicted.
- A model that would not fit next to the pinned ones is refused at once.

Pure: time comes in as seconds of a steady clock.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol


class Occupant(Protocol):
    """A model that takes memory; `PooledModel` is one."""

    @property
    def id(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes that count against the budget."""
        ...

    @property
    def since(self) -> float:
        """When it could answer first; for one that is in change, now or later."""
        ...

    @property
    def last_use(self) -> float:
        """Time of the last request; `since` before the first."""
        ...

    @property
    def busy(self) -> bool: ...

    @property
    def pinned(self) -> bool: ...

    @property
    def changing(self) -> bool: ...

    @property
    def keep_alive(self) -> float | None:
        """Seconds for which it may be idle; None for no limit."""
        ...

    @property
    def answered(self) -> bool: ...


class WantedModel(Protocol):
    """A model that requests wait for and that is not in memory; `PooledModel` is one."""

    @property
    def id(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def wanted_since(self) -> float: ...

    @property
    def patience(self) -> float:
        """Seconds after which busy models must make room."""
        ...


@dataclass(frozen=True)
class _Snapshot:
    """An occupant at one moment: its properties are read once for a decision."""

    id: str
    size: int
    since: float
    last_use: float = 0.0
    busy: bool = False
    pinned: bool = False
    changing: bool = False
    keep_alive: float | None = None
    answered: bool = True

    @classmethod
    def of(cls, model: Occupant) -> "_Snapshot":
        return cls(*(getattr(model, field.name) for field in fields(cls)))

    @property
    def idle(self) -> bool:
        return not (self.busy or self.pinned or self.changing)


@dataclass(frozen=True)
class Room:
    """A way for a model to fit: idle models to evict first, and models to wait for as well; with
    any of the latter nothing is evicted yet.
    """

    evict: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvictionDecision:
    """The next actions.

    Attributes:
        load: models to load; their memory is free.
        evict: models to end, and the model that each makes room for.
        expire: models to end because they have been idle for their time.
        refuse: models that will never fit.
        closed: models that take no new requests until they have made room.
        wake: when to decide again if nothing happens before; None for never.
    """

    load: tuple[str, ...] = ()
    evict: tuple[tuple[str, str], ...] = ()
    expire: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    closed: frozenset[str] = frozenset()
    wake: float | None = None


def room_for(size: int, models: Sequence[Occupant], budget: int) -> Room | None:
    """Find room for `size` bytes next to models in memory; None when they never will fit.

    Idle models make room first, by last use; then those in change; then busy ones, the longest in
    memory first.
    """
    return _room_for(size, [_Snapshot.of(model) for model in models], budget)


def _room_for(size: int, models: Sequence[_Snapshot], budget: int) -> Room | None:
    missing = size - (budget - sum(m.size for m in models))
    order = sorted(
        (m for m in models if not m.pinned),
        key=lambda m: (m.busy and not m.changing, m.changing, m.last_use if m.idle else m.since),
    )
    chosen: list[_Snapshot] = []
    for model in order:
        if missing <= 0:
            break
        chosen.append(model)
        missing -= model.size
    if missing > 0:
        return None
    for model in reversed(list(chosen)):  # a large one may have made earlier ones needless
        if missing + model.size <= 0:
            chosen.remove(model)
            missing += model.size
    return Room(
        evict=tuple(m.id for m in chosen if m.idle),
        awaited=tuple(m.id for m in chosen if not m.idle),
    )


def decide(
    models: Sequence[Occupant], wanted: Sequence[WantedModel], budget: int, now: float
) -> EvictionDecision:
    """Decide which models to load, evict and refuse; `wanted` is in the order of service."""
    taken = [_Snapshot.of(model) for model in models]
    there = list(taken)
    load: list[str] = []
    evict: tuple[tuple[str, str], ...] = ()
    refuse: list[str] = []
    closed: frozenset[str] = frozenset()
    wake = math.inf
    for model in wanted:
        size = model.size
        if any(other.id == model.id for other in there):
            continue  # it is being ended; then its turn comes
        room = _room_for(size, there, budget)
        if room is None:
            refuse.append(model.id)
        elif not room.evict and not room.awaited:
            load.append(model.id)
            there.append(_Snapshot(model.id, size, since=now, changing=True))
        elif not room.awaited:
            evict = tuple((other, model.id) for other in room.evict)
            break
        else:
            closed, wake = _impatience(model, there, room, now)
            break
    gone = {model_id for model_id, _ in evict}
    expire = []
    for occupant in taken:
        due = _expiry(occupant)
        if due is None or occupant.id in gone:
            continue
        if due <= now:
            expire.append(occupant.id)
        else:
            wake = min(wake, due)
    return EvictionDecision(
        load=tuple(load),
        evict=evict,
        expire=tuple(expire),
        refuse=tuple(refuse),
        closed=closed,
        wake=None if math.isinf(wake) else wake,
    )


def _impatience(
    wanted: WantedModel, there: Sequence[_Snapshot], room: Room, now: float
) -> tuple[frozenset[str], float]:
    """The models that must close now, and when the next one must.

    Idle ones close too: else they could be busy again each time that the others are idle.
    """
    closed, wake = [], math.inf
    for model in there:
        if model.id in room.awaited + room.evict and not model.changing:
            due = max(wanted.wanted_since, model.since) + wanted.patience
            if due <= now:
                closed.append(model.id)
            else:
                wake = min(wake, due)
    return frozenset(closed), wake


def _expiry(model: _Snapshot) -> float | None:
    if model.keep_alive is None or not model.idle or not model.answered:
        return None
    return model.last_use + model.keep_alive
