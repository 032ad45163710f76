"""Which tokens go into the next step.

Rules:
- Running answers first: the pending token of a sequence always gets into the step, or up to
  `FORCED` of them where a grammar forced several.
- Prompts fill what the budget leaves, in order of arrival, in chunks; new requests join at any
  step as soon as a sequence id and room for their prompt are free.
- When the KV cache is full, the youngest sequence is set aside: its cells are freed, and it is
  computed again from its tokens when there is room. The oldest always makes progress, so every
  request ends.
- Prompts whose log-probabilities are told share `SCORED` positions of a step, so that the buffer
  of logits stays small however long they are.
- With fixed chunks (reproducible mode) a prompt is cut at the same places whatever else runs.

Pure: it knows counts, never the model.
"""

from collections import deque
from dataclasses import dataclass, field

from appliance.engine.cells import SCORED, Cells
from appliance.engine.sequence import Sequence

FORCED = 32  # most forced tokens of one sequence in one step


@dataclass(frozen=True)
class Chunk:
    """`count` pending tokens of one sequence, at positions from `start`."""

    sequence: Sequence
    start: int
    count: int

    @property
    def samples(self) -> bool:
        """Whether the step's logits give the sequence its next token."""
        return self.start + self.count == len(self.sequence.tokens)

    @property
    def scored(self) -> range:
        """Positions before the last one whose logits score the prompt's next token."""
        echo = self.sequence.echo
        return range(0) if echo is None else echo.wanted(self.start, self.start + self.count)

    @property
    def outputs(self) -> int:
        """Rows of logits that the chunk gives: the scored positions, then the sampled one."""
        return len(self.scored) + self.samples


@dataclass
class Plan:
    """One step: the chunks to compute, after the KV cache forgot the `freed` sequence ids."""

    chunks: list[Chunk] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)


class Scheduler:
    """The queue and the running set.

    Args:
        cells: the KV accounting, which the scheduler keeps in step with its plans.
        budget: prompt tokens that one step may hold.
        fixed_chunks: cut prompts only at multiples of the budget.
    """

    def __init__(self, cells: Cells, budget: int, *, fixed_chunks: bool = False) -> None:
        self.cells = cells
        self.budget = budget
        self.fixed_chunks = fixed_chunks
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # oldest first

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence. It must fit into an empty cache: the caller has checked that."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> int | None:
        """Forget a sequence, ended or cancelled; the slot that the KV cache must free, if any."""
        if sequence.slot is None:
            self.waiting.remove(sequence)
            return None
        self.running.remove(sequence)
        return self._release(sequence)

    def plan(self) -> Plan:
        """The next step; empty when there is nothing to do."""
        plan = Plan()
        self._plan_decodes(plan)
        left = self._plan_prompts(plan, self.budget)
        self._admit(plan, left)
        return plan

    def _plan_decodes(self, plan: Plan) -> None:
        for sequence in list(self.running):
            count = min(sequence.pending, FORCED)
            if sequence.generating and self._make_room(sequence, count, plan):
                plan.chunks.append(Chunk(sequence, sequence.computed, count))

    def _make_room(self, sequence: Sequence, count: int, plan: Plan) -> bool:
        """Take cells for a sequence, setting others aside; False if it is set aside itself."""
        while (slot := sequence.slot) is not None:
            if self.cells.grow(slot, count):
                return True
            plan.freed.append(self._set_aside(plan))
        return False

    def _plan_prompts(self, plan: Plan, left: int) -> int:
        for sequence in list(self.running):
            if sequence.slot is None or sequence.generating:
                continue
            wanted = min(sequence.pending, self._largest(sequence))
            count = min(wanted, left, self.cells.room(sequence.slot), _unscored(sequence, plan))
            if count == 0 or (self.fixed_chunks and count < wanted):
                continue
            self.cells.grow(sequence.slot, count)
            plan.chunks.append(Chunk(sequence, sequence.computed, count))
            left -= count
        if not plan.chunks and self.running:  # prompts fill the cache and none can go on
            plan.freed.append(self._set_aside(plan))
            return self._plan_prompts(plan, left)
        return left

    def _admit(self, plan: Plan, left: int) -> None:
        while self.waiting and left > 0 and self.cells.has_id():
            sequence = self.waiting[0]
            promised = sum(s.pending for s in self.running) - sum(c.count for c in plan.chunks)
            if self.cells.room() - (0 if self.cells.separate else promised) < sequence.pending:
                break  # the order of arrival holds: nobody overtakes
            wanted = min(sequence.pending, self._largest(sequence))
            count = min(wanted, left, _unscored(sequence, plan))
            if count == 0 or (self.fixed_chunks and count < wanted):
                break
            self.waiting.popleft()
            self.running.append(sequence)
            sequence.slot = self.cells.acquire()
            self.cells.grow(sequence.slot, count)
            plan.chunks.append(Chunk(sequence, sequence.computed, count))
            left -= count

    def _largest(self, sequence: Sequence) -> int:
        """Most tokens of a prompt in one chunk."""
        return min(self.budget, SCORED) if sequence.scores_prompt else self.budget

    def _set_aside(self, plan: Plan) -> int:
        """Send the youngest running sequence back to the head of the queue; its freed slot."""
        victim = self.running.pop()
        plan.chunks = [c for c in plan.chunks if c.sequence is not victim]
        slot = self._release(victim)
        victim.set_aside()
        self.waiting.appendleft(victim)
        return slot

    def _release(self, sequence: Sequence) -> int:
        slot = sequence.slot
        if slot is None:
            raise RuntimeError("a sequence without a slot cannot be released")
        self.cells.release(slot)
        sequence.slot = None
        return slot


def _unscored(sequence: Sequence, plan: Plan) -> int:
    """How many more tokens of this prompt the logits of the step have room for."""
    if not sequence.scores_prompt:
        return sequence.pending
    return SCORED - sum(c.count for c in plan.chunks if c.sequence.scores_prompt)
