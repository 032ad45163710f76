"""Accounting of the KV cache's sequence ids and cells. Pure.

Rules: a cell belongs to one running sequence, or to the tree of kept prefixes, whose cells many
sequences may share and which makes room for running ones. The cache is unified (all sequences draw
on the same `capacity` cells) or separate (each has `capacity` cells, and nothing is kept).
"""

from dataclasses import dataclass

from appliance.engine.prefixes import Drop, Node, Operation, Prefixes
from appliance.engine.sequence import Sequence

SCORED = 32
"""Most positions of prompts and labels in one step whose logits are kept, besides those that
sample."""

BRANCHES = 16
"""Most paths of labels in one step: each has a sequence id of its own for that step."""


@dataclass
class _Held:
    node: Node
    own: int = 0
    keeps: bool = True  # whether what it computes goes on in the tree


class Cells:
    """Counts of KV cells.

    Args:
        capacity: cells in the cache (unified) or in each stream (separate), in tokens.
        sequences: how many run at once; their ids are the lowest ones.
        kept: how many further sequence ids the tree of kept prefixes may use.
    """

    def __init__(
        self, capacity: int, sequences: int, kept: int = 0, *, separate: bool = False
    ) -> None:
        self.capacity = capacity
        self.separate = separate
        self._operations: list[Operation] = []
        self._free_ids = list(range(sequences - 1, -1, -1))
        self._prefixes = Prefixes(range(sequences + kept - 1, sequences - 1, -1), self._operations)
        self._held: dict[int, _Held] = {}
        self._own = 0

    @property
    def used(self) -> int:
        return self._own + self._prefixes.cells

    @property
    def kept(self) -> int:
        """Cells that only the tree uses: running sequences may evict them."""
        return self._prefixes.idle

    def take_operations(self) -> list[Operation]:
        taken = self._operations.copy()
        self._operations.clear()
        return taken

    def has_id(self) -> bool:
        return bool(self._free_ids)

    def match(self, sequence: Sequence) -> int:
        """Leading tokens of a sequence that need not be computed."""
        return self._prefixes.match(sequence)[0]

    def lacking(self, sequence: Sequence) -> int:
        """Room that a waiting sequence takes, in cells, until its first token is sampled."""
        length, idle = self._prefixes.match(sequence)
        return sequence.pending - length + idle

    def alone(self, sequence: Sequence) -> int:
        """Cells that a running sequence shares with no other one."""
        held = self._held[_slot(sequence)]
        return held.own + self._prefixes.alone(held.node)

    def keeps(self, sequence: Sequence) -> bool:
        """True if others can reuse what a running sequence computes of its prompt."""
        return sequence.slot is not None and self._held[sequence.slot].keeps

    def room(self, seq: int | None = None) -> int:
        """Cells that a sequence can still take; None stands for one without an id yet."""
        if self.separate:
            return self.capacity - (self._held[seq].own if seq is not None else 0)
        return self.capacity - self.used + self._prefixes.idle

    def acquire(self, sequence: Sequence) -> None:
        """Give a sequence an id and what is kept of its tokens; call only after `has_id`."""
        slot = sequence.slot = self._free_ids.pop()
        node = self._prefixes.take(sequence, slot)
        sequence.computed = node.end
        self._held[slot] = _Held(node)

    def grow(self, seq: int, count: int) -> bool:
        """Take cells for tokens of the next step; False, with no change, if there is no room."""
        if count > self.room(seq):
            return False
        if not self.separate:
            while (lacking := self.used + count - self.capacity) > 0:
                self._prefixes.evict(lacking)
        self._held[seq].own += count
        self._own += count
        return True

    def shrink(self, seq: int, count: int) -> None:
        self._held[seq].own -= count
        self._own -= count

    def keep(self, sequence: Sequence) -> None:
        """Note that all of `sequence.computed` is in the cache: others may share it now."""
        slot = _slot(sequence)
        held = self._held[slot]
        if not held.keeps:
            return
        before = held.node.end
        held.node, held.keeps = self._prefixes.extend(held.node, sequence, slot, sequence.computed)
        kept = held.node.end - before
        held.own -= kept
        self._own -= kept

    def release(self, sequence: Sequence) -> None:
        slot = _slot(sequence)
        held = self._held.pop(slot)
        self._own -= held.own
        self._prefixes.leave(held.node)
        self._operations.append(Drop(slot))
        self._free_ids.append(slot)
        sequence.slot = None


def _slot(sequence: Sequence) -> int:
    if sequence.slot is None:
        raise RuntimeError("the sequence has no cells")
    return sequence.slot
