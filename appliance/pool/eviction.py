"""Which models are in memory: what is loaded next, what gives way, and what has idled too long.

Rules:
- The models in memory never take more than the budget together; a model that is being loaded or
  ended counts in full.
- A model that is busy, pinned or in change is never evicted. Of the others, those go first whose
  last use is longest ago, and no more of them than are needed.
- Who waits for memory is served in the order of coming; nobody overtakes. When it waits for models
  that are busy without end, these take no new requests once they have served for its patience:
  their running answers end, then they give way. So each model gets its turn.
- What would not fit beside the pinned models alone is refused at once.

Pure: everything comes in as values, time as seconds of a steady clock.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Resident:
    """A model in memory.

    Attributes:
        size: bytes that count against the budget.
        since: when it could answer first; for one that is in change, now or later.
        used: when a request entered or left it last; `since` before the first one.
        busy: whether a request is inside.
        pinned: whether it stays whatever happens.
        changing: whether it is being loaded or ended; it will be over by itself.
        keep_alive: seconds for which it may be idle; None is without end.
        answered: whether it was used since it was loaded.
    """

    model: str
    size: int
    since: float = 0.0
    used: float = 0.0
    busy: bool = False
    pinned: bool = False
    changing: bool = False
    keep_alive: float | None = None
    answered: bool = True

    @property
    def idle(self) -> bool:
        """Whether it may be evicted now."""
        return not (self.busy or self.pinned or self.changing)


@dataclass(frozen=True)
class Demand:
    """A model that should be in memory and is not.

    Attributes:
        size: bytes that it will count for.
        since: when it was first asked for.
        patience: seconds after which busy models must make room.
    """

    model: str
    size: int
    since: float
    patience: float


@dataclass(frozen=True)
class Room:
    """How a model would fit.

    Attributes:
        evict: idle models to end first.
        awaited: models to wait for as well; with any of them nothing is evicted yet.
    """

    evict: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What to do now.

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


def room_for(size: int, residents: Sequence[Resident], budget: int) -> Room | None:
    """How `size` bytes would fit; None when they never will.

    Of the models that must go, idle ones come first, by last use; then those in change; then busy
    ones, by how long they have been there.
    """
    missing = size - (budget - sum(r.size for r in residents))
    order = sorted(
        (r for r in residents if not r.pinned),
        key=lambda r: (r.busy and not r.changing, r.changing, r.used if r.idle else r.since),
    )
    chosen: list[Resident] = []
    for resident in order:
        if missing <= 0:
            break
        chosen.append(resident)
        missing -= resident.size
    if missing > 0:
        return None
    for resident in reversed(list(chosen)):  # a large one may have made earlier ones needless
        if missing + resident.size <= 0:
            chosen.remove(resident)
            missing += resident.size
    return Room(
        evict=tuple(r.model for r in chosen if r.idle),
        awaited=tuple(r.model for r in chosen if not r.idle),
    )


def decide(
    residents: Sequence[Resident], demands: Sequence[Demand], budget: int, now: float
) -> Decision:
    """What to load, evict and refuse.

    Args:
        demands: in the order in which they are to be served.
    """
    there = list(residents)
    load: list[str] = []
    evict: tuple[tuple[str, str], ...] = ()
    refuse: list[str] = []
    closed: frozenset[str] = frozenset()
    wake = math.inf
    for demand in demands:
        if any(r.model == demand.model for r in there):
            continue  # it is being ended; then its turn comes
        room = room_for(demand.size, there, budget)
        if room is None:
            refuse.append(demand.model)
        elif not room.evict and not room.awaited:
            load.append(demand.model)
            there.append(Resident(demand.model, demand.size, since=now, changing=True))
        elif not room.awaited:
            evict = tuple((model, demand.model) for model in room.evict)
            break
        else:
            closed, wake = _impatience(demand, there, room, now)
            break
    gone = {model for model, _ in evict}
    expire = []
    for resident in residents:
        due = _expiry(resident)
        if due is None or resident.model in gone:
            continue
        if due <= now:
            expire.append(resident.model)
        else:
            wake = min(wake, due)
    return Decision(
        load=tuple(load),
        evict=evict,
        expire=tuple(expire),
        refuse=tuple(refuse),
        closed=closed,
        wake=None if math.isinf(wake) else wake,
    )


def _impatience(
    demand: Demand, there: Sequence[Resident], room: Room, now: float
) -> tuple[frozenset[str], float]:
    """The models that must close now, and when the next one must.

    Idle ones close too: else they could be busy again each time that the others are idle.
    """
    closed, wake = [], math.inf
    for resident in there:
        if resident.model in room.awaited + room.evict and not resident.changing:
            due = max(demand.since, resident.since) + demand.patience
            if due <= now:
                closed.append(resident.model)
            else:
                wake = min(wake, due)
    return frozenset(closed), wake


def _expiry(resident: Resident) -> float | None:
    """When an idle model has idled for its time."""
    if resident.keep_alive is None or not resident.idle or not resident.answered:
        return None
    return resident.used + resident.keep_alive
