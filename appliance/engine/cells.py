"""Accounting of the KV cache: which sequence ids are taken and how many cells each one fills.

Rules: a cell belongs to one sequence; a sequence id is given to one owner at a time; what is
released is free again at once. The cache is either unified (all sequences draw on the same
`capacity` cells) or separate (each sequence has `capacity` cells of its own). Pure: the runner
makes the cache follow.
"""

SCORED = 32
"""Most positions of prompts in one step whose logits are kept, besides those that sample."""


class Cells:
    """Counts of KV cells.

    Args:
        capacity: cells in the cache (unified) or in each stream (separate), in tokens.
        sequences: how many sequence ids there are.
        separate: whether each sequence has its own stream.
    """

    def __init__(self, capacity: int, sequences: int, *, separate: bool = False) -> None:
        self.capacity = capacity
        self.separate = separate
        self._free_ids = list(range(sequences - 1, -1, -1))
        self._used: dict[int, int] = {}

    @property
    def used(self) -> int:
        """Cells that hold tokens, over all sequences."""
        return sum(self._used.values())

    def has_id(self) -> bool:
        """Whether a sequence id is free."""
        return bool(self._free_ids)

    def room(self, seq: int | None = None) -> int:
        """Cells that a sequence could still take; None stands for one that has no id yet."""
        if self.separate:
            return self.capacity - (self._used[seq] if seq is not None else 0)
        return self.capacity - self.used

    def acquire(self) -> int:
        """Take a free sequence id; call only after `has_id`."""
        seq = self._free_ids.pop()
        self._used[seq] = 0
        return seq

    def grow(self, seq: int, count: int) -> bool:
        """Take cells for tokens of the next step; False, with no change, if there is no room."""
        if count > self.room(seq):
            return False
        self._used[seq] += count
        return True

    def release(self, seq: int) -> None:
        """Give back a sequence id and all its cells."""
        del self._used[seq]
        self._free_ids.append(seq)
