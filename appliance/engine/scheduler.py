"""Tokens of the next step. Pure: it knows counts, never the model.

Rules:
- Running answers first: the pending token of each, or up to `FORCED` that a grammar forced.
- Prompts fill what the budget leaves, in chunks: half for the oldest, the rest for those done
  soonest. New requests join once an id and room for their prompt are free.
- A request whose prompt begins like one being computed waits for it and takes it over.
- A step has one adapter. The sequences of one adapter, or of none, are a group; the group whose
  last step is longest ago has the next one, unless it can do nothing now; a step that is batch
  work's is its group's. No group takes over the cells of another.
- Apps share by weight (app_shares.py): the request whose app would then have least runs next, at
  the cost of an app that keeps as much. A long prompt is overtaken by as many short ones as it
  counts; then only what fits beside it runs before it.
- Batch work is held back while there is other work (batch_turns.py), unless that can do nothing;
  its slots and cells are the first to go. Once it starved, one has its own.
- When the KV cache is full, the youngest sequence of the app that has most is preempted. The oldest
  always makes progress, so every request ends.
- Prompts whose log-probabilities are wanted, and paths of labels, share `SCORED` positions of a
  step. Paths go before prompts, one in each step in any case. Their cells are taken for the step
  only.
- With fixed chunks (reproducible mode) a prompt is cut alike whatever else runs.
"""

from bisect import insort
from collections import deque
from dataclasses import dataclass, field

from appliance.engine.app_shares import LONG, AppShares, held, size
from appliance.engine.batch_turns import BatchTurns
from appliance.engine.burst import LAST, Burst
from appliance.engine.cells import BRANCHES, SCORED, Cells
from appliance.engine.labels import Tokens
from appliance.engine.pace import Pace
from appliance.engine.prefixes import SHORTEST, Operation, common
from appliance.engine.sequence import Sequence

FORCED = 32  # most forced tokens of one sequence in one step
SOON = 2 * LONG  # tokens of a prompt whose cells a short request leaves free
LATELY = 16  # sequences after which an app that sent no other counts as gone


@dataclass(frozen=True)
class Chunk:
    """`count` pending tokens of one sequence, at positions from `start`.

    Attributes:
        paths: the tokens are those of paths of labels, each at positions from `start`.
    """

    sequence: Sequence
    start: int
    count: int
    paths: tuple[Tokens, ...] = ()

    @property
    def parts(self) -> "tuple[Chunk | None, Chunk | None]":
        """The tokens for tiles, and the rest."""
        count = max(0, min(self.count, self.sequence.tiled - self.start))
        if not count or self.paths:
            return None, self
        first = Chunk(self.sequence, self.start, count)
        rest = Chunk(self.sequence, self.start + count, self.count - count)
        return first, rest if rest.count else None

    @property
    def samples(self) -> bool:
        return self.start + self.count == len(self.sequence.tokens)

    @property
    def scored(self) -> range:
        return self.sequence.scored(self.start, self.start + self.count)

    @property
    def extra(self) -> int:
        """Rows of logits besides the one that every sequence has."""
        if self.paths:
            return self.count
        return 0 if self.sequence.echo is None else len(self.scored)

    @property
    def outputs(self) -> int:
        """Rows of logits that the chunk gives: the scored positions, then the sampled one."""
        return self.extra + self.samples


@dataclass
class StepPlan:
    """One step: the chunks to compute, after the KV cache has done the operations.

    Attributes:
        groups: their steps between two tokens of an answer.
    """

    shares: AppShares
    adapter: str = ""
    groups: int = 1
    first: int = 0
    chunks: list[Chunk] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(c.count for c in self.chunks)


class Scheduler:
    """The queue and the running set.

    Args:
        budget: prompt tokens that one step may hold.
        pace: lowers the budget; None always allows it.
    """

    def __init__(
        self,
        cells: Cells,
        budget: int,
        pace: Pace | None = None,
        *,
        fixed_chunks: bool = False,
        batches: BatchTurns | None = None,
    ) -> None:
        self.cells = cells
        self.budget = budget
        self.pace = pace
        self.fixed_chunks = fixed_chunks
        self.batches = batches or BatchTurns()
        self._mixed = False  # there is batch work and other work
        self._aside = False  # batch work has no part in the step that is planned
        self.waiting: list[Sequence] = []  # oldest first, preempted ones before new ones
        self.running: list[Sequence] = []  # oldest first
        self._burst = Burst()
        self._step = self._arrived = 0
        self._lately = deque[tuple[str, bool]](maxlen=LATELY)  # app and batch of the last that ran
        self._turns: dict[str, int] = {}  # of each group that is there, since when it waits
        self._owed: dict[str, float] = {}  # by each group, in seconds
        self._before = StepPlan(AppShares([], None))

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence, which must fit into an empty cache."""
        self._arrived += 1
        sequence.arrival = self._arrived
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        if sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self._release(sequence)

    def computed(self, chunk: Chunk) -> None:
        """Note that a chunk is in the cache, which makes it shareable."""
        if chunk.paths:
            if chunk.sequence.slot is not None:
                self.cells.shrink(chunk.sequence.slot, chunk.count)
            return
        chunk.sequence.computed += chunk.count
        if chunk.start < chunk.sequence.known:
            self.cells.keep(chunk.sequence)

    def plan(self) -> StepPlan:
        self._step += 1
        self._settle()
        kinds = {s.batch for s in (*self.running, *self.waiting)}
        takes_part = self.batches.take_part(batch=True in kinds, other=False in kinds)
        self._mixed = len(kinds) > 1
        self._aside = self._mixed and not takes_part
        plan = self._plan()
        if not plan.chunks and self._aside:
            self._aside = False
            plan = self._plan()
        if self._mixed and any(c.sequence.batch for c in plan.chunks):
            self.batches.took_part()
        for chunk in plan.chunks:
            chunk.sequence.served = self._step
        self._burst.record(plan.tokens)
        plan.operations = self.cells.take_operations()
        self._before = plan
        return plan

    def _settle(self) -> None:
        if self.pace is not None and self._before.chunks:
            owed = self._owed.pop(self._before.adapter, 0.0)
            if (now := self._before.shares.owed(owed, self.pace.last_s, self._before.first)) > 0:
                self._owed[self._before.adapter] = now

    def _stepping(self) -> list[Sequence]:
        return [s for s in self.running if not s.batch] if self._aside else self.running

    @property
    def _batch_turn(self) -> bool:
        return self._mixed and not self._aside

    @property
    def _placeless(self) -> bool:
        """A starved batch lacks its slot."""
        owed = self._mixed and self.batches.owed
        return owed and not any(s.batch for s in self.running)

    def _batch(self) -> list[Sequence]:
        """Batch work that runs, beside other work, and may lose its slot; the oldest first."""
        found = [s for s in self.running if s.batch and self._mixed]
        return found[1:] if self.batches.starved else found

    def _plan(self) -> StepPlan:
        admitted: list[Sequence] = []
        plan = StepPlan(AppShares([], None))
        for adapter in self._groups():
            running = self._stepping()
            group = [s for s in running if s.adapter == adapter]
            answering = {s.adapter for s in running if s.generating} | {adapter}
            brief = self._owed.get(adapter, 0.0) > 0 and not self._batch_turn
            shares = AppShares(group, self.pace, brief=brief)
            plan = StepPlan(shares, adapter, len(answering))
            self._plan_decodes(plan, admitted)
            admitted += self._admit(plan)
            now = [s for s in self._stepping() if s.adapter == adapter]
            if now != group:  # some were admitted or preempted
                plan.shares = AppShares(now, self.pace, brief=brief)
            self._plan_paths(plan)
            self._plan_prompts(plan, admitted)
            if plan.chunks:
                self._turns[adapter] = 2 * self._step + 1
                break
        return plan

    def _groups(self) -> list[str]:
        """The adapters with sequences, the longest without a step first."""
        everybody = sorted([*self.running, *self.waiting], key=_arrival)
        # A new group goes before the group of the last step and behind all that wait already.
        joined = 2 * self._step - 2
        self._turns = {s.adapter: self._turns.get(s.adapter, joined) for s in everybody}
        there = {s.adapter for s in everybody if not (self._aside and s.batch)}
        batch = [s for s in everybody if self._batch_turn and s.batch]
        first = {s.adapter for s in batch if s.slot is not None} or {s.adapter for s in batch}
        groups = [adapter for adapter in self._turns if adapter in there]
        return sorted(groups, key=lambda adapter: (adapter not in first, self._turns[adapter]))

    def _plan_decodes(self, plan: StepPlan, admitted: list[Sequence]) -> None:
        generating = [
            s
            for s in self._stepping()
            if s.adapter == plan.adapter and s.generating and s not in admitted
        ]
        for sequence in plan.shares.answers(generating):
            count = min(sequence.pending, FORCED, _most_scored(sequence, plan))
            if count and self._make_room(sequence, count, plan):
                plan.chunks.append(Chunk(sequence, sequence.computed, count))

    def _make_room(self, sequence: Sequence, count: int, plan: StepPlan) -> bool:
        """Take cells, preempting others; False if the sequence is preempted itself."""
        while (slot := sequence.slot) is not None:
            if self.cells.grow(slot, count):
                return True
            self._preempt(self._victim(), plan)
        return False

    def _victim(self) -> Sequence:
        has = held(self.running)
        least = self._batch() or self.running[1:] or self.running
        return max(least, key=lambda s: (has[s.scope], s.arrival))

    def _admit(self, plan: StepPlan) -> list[Sequence]:
        admitted: list[Sequence] = []
        passed: set[int] = set()  # wait for a prefix being computed, or lost their place just now
        blocked: set[str] = set()  # apps whose next one has no room or lost its place just now
        head: Sequence | None = None
        line = next((s for s in self.waiting if s.batch), None) if self._placeless else None
        if line is not None and (
            self._fits(line, plan)
            or (self._batch_turn and self._make_place(line, plan, passed, blocked))
        ):
            self._start(line)
            admitted.append(line)
        while (sequence := self._next(passed, blocked)) is not None:
            if self._has_leader(sequence):
                passed.add(sequence.arrival)
            elif not self._leaves_room(sequence, head):
                blocked.add(sequence.scope)
            elif self._fits(sequence, plan) or self._make_place(sequence, plan, passed, blocked):
                self._start(sequence)
                admitted.append(sequence)
            elif self.cells.has_id():
                blocked.add(sequence.scope)
                head = head or sequence
            else:
                break
        return admitted

    def _start(self, sequence: Sequence) -> None:
        self.waiting.remove(sequence)
        for other in self.waiting:
            if other.arrival < sequence.arrival and other.batch == sequence.batch:
                other.overtaken += size(sequence)
        self.cells.acquire(sequence)
        if sequence.reused is None:
            sequence.reused = sequence.computed
        insort(self.running, sequence, key=_arrival)
        self._lately.append((sequence.scope, sequence.batch))

    def _next(self, passed: set[int], blocked: set[str]) -> Sequence | None:
        has = held(self._stepping())
        first: dict[str, Sequence] = {}
        for sequence in self.waiting:
            if self._aside and sequence.batch:
                continue
            if sequence.arrival not in passed and sequence.scope not in blocked:
                first.setdefault(sequence.scope, sequence)

        def rank(sequence: Sequence) -> float:
            adds = max(0, size(sequence) - sequence.overtaken)
            return has.get(sequence.scope, 0.0) + adds / sequence.weight

        return min(first.values(), key=rank, default=None)

    def _leaves_room(self, sequence: Sequence, head: Sequence | None) -> bool:
        """A sequence and all that have overtaken `head` fit beside it."""
        if head is None:
            return True
        ahead = sum(len(s.tokens) for s in self._stepping() if s.arrival > head.arrival)
        return ahead + len(sequence.tokens) + len(head.tokens) <= self.cells.capacity

    def _fits(self, sequence: Sequence, plan: StepPlan) -> bool:
        return self.cells.has_id() and self._lacks(sequence, plan) <= 0

    def _lacks(self, sequence: Sequence, plan: StepPlan) -> int:
        """Cells that are missing for the whole prompt of a waiting sequence.

        A short request is over before a long prompt needs most of the cells that it was promised.
        """
        planned = {c.sequence for c in plan.chunks}
        short = sequence.pending + sequence.max_tokens - sequence.generated <= LONG
        soon = SOON if short else self.cells.capacity
        promised = sum(min(s.pending, soon) for s in self._stepping() if s not in planned)
        room = self.cells.room() - (0 if self.cells.separate else promised)
        return self.cells.lacking(sequence) - room

    def _make_place(
        self, sequence: Sequence, plan: StepPlan, passed: set[int], blocked: set[str]
    ) -> bool:
        """Preempt the youngest of apps that still have at least what this one's app has then.

        Batch work goes first, and takes no place of other work unless it starves: two that may each
        preempt the other would do so for ever.
        """
        has, batch = held(self.running), [] if sequence.batch else self._batch()
        lets_in = sequence.batch and self._placeless
        left = [s for s in self.running if lets_in or s.batch == sequence.batch][1:]
        then = has.get(sequence.scope, 0.0) + size(sequence) / sequence.weight
        lacks, victims = self._lacks(sequence, plan), list[Sequence]()
        while lacks > 0 or not (victims or self.cells.has_id()):
            richer = [s for s in left if lets_in or has[s.scope] - size(s) / s.weight >= then]
            if not (batch or richer):
                return False
            victim = max(batch or richer, key=lambda s: (has[s.scope], s.arrival))
            (batch or left).remove(victim)
            victims.append(victim)
            has[victim.scope] -= size(victim) / victim.weight
            lacks -= self.cells.alone(victim) + victim.pending
        for victim in victims:
            self._preempt(victim, plan)
            if victim.batch:
                passed.add(victim.arrival)
            else:
                blocked.add(victim.scope)
        return self._fits(sequence, plan)

    def _has_leader(self, sequence: Sequence) -> bool:
        if sequence.scores_prompt:
            return False
        at_least = self.cells.match(sequence) + SHORTEST
        for other in self._stepping():
            if other.adapter != sequence.adapter:
                continue
            if other.computed < other.known and self.cells.keeps(other):
                agreed = common(sequence.tokens[: sequence.reusable], other.tokens)
                if sequence.scope != other.scope:
                    agreed = min(agreed, sequence.shared, other.shared)
                if sequence.tiled != other.tiled:
                    agreed = min(agreed, sequence.tiled, other.tiled)
                if agreed >= at_least and other.computed < agreed:
                    return True
        return False

    def _plan_prompts(self, plan: StepPlan, admitted: list[Sequence]) -> None:
        prompts = [
            s
            for s in self._stepping()
            if s.adapter == plan.adapter and s.pending and (not s.generating or s in admitted)
        ]
        if not prompts:
            return
        if self._batch_turn:
            prompts.sort(key=lambda s: not s.batch)
        for sequence, wanted in self._portions(prompts, plan).items():
            count = min(wanted, self.cells.room(sequence.slot), _most_scored(sequence, plan))
            if count == 0 or (self.fixed_chunks and count < self._largest(sequence)):
                continue
            if sequence.slot is not None and self.cells.grow(sequence.slot, count):
                plan.chunks.append(Chunk(sequence, sequence.computed, count))
        if not plan.chunks:  # prompts fill the cache and none can go on
            self._preempt((self._batch() or self.running)[-1], plan)
            self._plan_prompts(plan, admitted)

    def _plan_paths(self, plan: StepPlan) -> None:
        """Paths of labels whose prompts are in the cache, the longest without a step first."""
        ready = [
            s for s in self._stepping() if s.labels and s.adapter == plan.adapter and not s.pending
        ]
        if not ready:
            return
        left, most = self._left(plan, ready), BRANCHES
        for sequence in sorted(ready, key=lambda s: s.served):
            if sequence.labels is None:
                continue
            limited, rest = plan.shares.limited([sequence], plan.tokens)
            allowed = min(left, rest if limited else left, self.cells.room(sequence.slot))
            if most == BRANCHES:
                allowed = max(allowed, len(sequence.labels.paths[0]))
            rows = SCORED - sum(c.extra for c in plan.chunks)
            paths = sequence.labels.first(min(allowed, rows), most)
            count = sum(map(len, paths))
            if paths and self._make_room(sequence, count, plan):
                plan.chunks.append(Chunk(sequence, len(sequence.tokens), count, paths))
                left, most = left - count, most - len(paths)

    def _left(self, plan: StepPlan, prompts: list[Sequence]) -> int:
        if self.fixed_chunks or self.pace is None:
            return self.budget
        taken = sum(c.count for c in plan.chunks if c.paths)
        dearer = plan.shares.dearer(prompts)
        batch = all(s.batch for s in self._stepping())
        lately = {*self._lately, *((s.scope, s.batch) for s in self.running)}
        apps = {scope for scope, waits in lately if batch or not waits}
        budget = self.pace.budget(
            plan.tokens - taken, plan.groups, dearer, several=len(apps) > 1, hurried=not batch
        )
        return max(0, min(self.budget, budget) - taken)

    def _portions(self, prompts: list[Sequence], plan: StepPlan) -> dict[Sequence, int]:
        left = self._left(plan, prompts)
        wanted = {s: self._largest(s) for s in prompts}
        if not self.fixed_chunks:
            for sequence in self._burst.waiting(self._stepping()).intersection(prompts):
                wanted[sequence] = min(wanted[sequence], max(0, sequence.pending - LAST))
        portions = dict.fromkeys(prompts, 0)
        soonest = sorted(prompts, key=lambda s: s.pending)
        turns = [(prompts[0], (left + 1) // 2), *((s, left) for s in soonest)]
        if self.fixed_chunks:  # all or nothing, in order of arrival
            turns = [(s, left) for s in prompts]
        else:
            first, theirs = plan.shares.first(soonest, left)
            for sequence in first:
                portions[sequence] = min(wanted[sequence], theirs)
                theirs -= portions[sequence]
            left -= sum(portions.values())
        # The last token of a prompt counts as an answer's.
        ends = sum(count for s, count in portions.items() if s.generating)
        planned, plan.first = plan.tokens + ends, sum(portions.values()) - ends
        limited, rest = plan.shares.limited(prompts, planned, plan.first)
        for sequence, most in turns:
            allowed = min(left, rest) if sequence in limited else left
            more = min(wanted[sequence] - portions[sequence], most, allowed)
            if self.fixed_chunks and more < wanted[sequence]:
                continue
            portions[sequence] += more
            left -= more
            rest -= more if sequence in limited else 0
        return portions

    def _largest(self, sequence: Sequence) -> int:
        scored = self.budget
        if sequence.echo is not None and sequence.scores_prompt:
            scored = SCORED + sequence.echo.before(sequence.computed)
        return min(sequence.pending, self.budget, scored)

    def _release(self, sequence: Sequence) -> None:
        self.cells.keep(sequence)
        self.cells.release(sequence)

    def _preempt(self, victim: Sequence, plan: StepPlan) -> None:
        """Queue a running sequence again; its prefix stays where there is room."""
        self.running.remove(victim)
        plan.chunks = [c for c in plan.chunks if c.sequence is not victim]
        self._release(victim)
        victim.preempt()
        insort(self.waiting, victim, key=_arrival)


def _most_scored(sequence: Sequence, plan: StepPlan) -> int:
    """Number of next tokens that the logits of the step have room for.

    The last token of a sequence takes a row that every sequence has; the others take scored ones.
    """
    if sequence.echo is None:
        return sequence.pending
    end = len(sequence.tokens)
    rows = len(sequence.scored(sequence.computed, end))
    if not rows:
        return sequence.pending
    left = SCORED - sum(c.extra for c in plan.chunks)
    return sequence.pending if rows <= left else max(0, sequence.pending - 1 - (rows - left))


def _arrival(sequence: Sequence) -> int:
    return sequence.arrival
