"""The batching loop: plan, compute, sample, report; one step at a time, on one thread.

Rules: a report is final; a request reports a finish reason exactly once; after its end its KV cells
are free before the next step. A sequence without its adapter ends with "detached" uncomputed.
"""

import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as ReadOnly
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.engine.cells import Cells
from appliance.engine.labels import Labels
from appliance.engine.logprobs import CHOSEN, bits
from appliance.engine.prefixes import Operation
from appliance.engine.protocol import Finish, Row, Step
from appliance.engine.scheduler import Chunk, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.threads import Threads
from appliance.types import TokenLogprob

Restrict: TypeAlias = Callable[[NDArray[np.float32]], None]
"""Sets the logits of tokens that may not come next to minus infinity, in place."""


class EngineModel(Protocol):
    """The runner, or a plain model in the tests."""

    n_vocab: int
    ends: frozenset[int]  # tokens that end a generation

    def forward(self, chunks: ReadOnly[Chunk]) -> NDArray[np.float32]:
        """Compute one step: `Chunk.outputs` rows of each chunk, shape (rows, n_vocab); all have the
        same `sequence.adapter`.
        """
        ...

    def follow(self, operations: ReadOnly[Operation]) -> None: ...

    def piece(self, token: int) -> bytes:
        """The bytes of a token, empty for control tokens."""
        ...

    def attach(self, adapter: str, fd: int) -> None:
        """Load an adapter; takes over the descriptor of its sealed file."""
        ...

    def detach(self, adapter: str) -> None: ...

    def set_threads(self, count: int) -> None: ...


class Engine:
    """Sequences of one model, decoded together.

    Args:
        threads: decides the thread count after each step; None leaves it as it is.
    """

    def __init__(
        self, model: EngineModel, scheduler: Scheduler, threads: Threads | None = None
    ) -> None:
        self.model = model
        self.scheduler = scheduler
        self._threads = threads
        self._sequences: dict[Sequence, None] = {}  # in order of arrival
        self._ending: dict[Sequence, Finish] = {}  # ended before the next step, and why
        self.adapters: frozenset[str] = frozenset()

    @property
    def cells(self) -> Cells:
        return self.scheduler.cells

    def busy(self) -> bool:
        return bool(self._sequences)

    def add(self, sequence: Sequence) -> None:
        self._sequences[sequence] = None
        self.scheduler.add(sequence)
        if sequence.adapter not in self.adapters | {""}:
            self._ending[sequence] = "detached"

    def cancel(self, request: int) -> None:
        """End a request at the next step; an unknown one has ended already."""
        for sequence in self._sequences:
            if sequence.id == request:
                self._ending.setdefault(sequence, "cancelled")

    def attach(self, adapter: str, fd: int) -> None:
        self.model.attach(adapter, fd)
        self.adapters |= {adapter}

    def detach(self, adapter: str) -> None:
        """Free an adapter; the sequences that use it end at the next step, uncomputed."""
        if adapter not in self.adapters:
            return
        self.adapters -= {adapter}
        for sequence in self._sequences:
            if sequence.adapter == adapter:
                self._ending[sequence] = "detached"
        self.model.detach(adapter)

    def step(self) -> Step:
        rows = [row for ending in self._ending.items() for row in self._end(*ending)]
        self._ending.clear()
        plan = self.scheduler.plan()
        self.model.follow(plan.operations)
        if plan.chunks:
            logits = self._forward(plan.chunks)
            at = 0
            for chunk in plan.chunks:
                outputs = chunk.outputs
                self.scheduler.computed(chunk)
                rows += self._report(chunk, logits[at : at + outputs])
                at += outputs
        self.model.follow(self.cells.take_operations())
        return Step(
            rows,
            len(self.scheduler.running),
            len(self.scheduler.waiting),
            self.cells.used - self.cells.kept,
            self.cells.kept,
            self._threads.count if self._threads else 0,
        )

    def _forward(self, chunks: list[Chunk]) -> NDArray[np.float32]:
        begun, cpu = time.monotonic(), time.process_time()
        logits = self.model.forward(chunks)
        now, cpu = time.monotonic(), time.process_time() - cpu
        tokens = sum(c.count for c in chunks)
        if self.scheduler.pace is not None:
            self.scheduler.pace.record(tokens, now - begun)
        if self._threads is not None:
            before = self._threads.count
            count = self._threads.record(tokens, now - begun, cpu, now)
            if count != before:
                self.model.set_threads(count)
        return logits

    def _end(self, sequence: Sequence, why: Finish) -> Iterator[Row]:
        self._remove(sequence)
        yield Row(sequence.id, "", 0, why)

    def _report(self, chunk: Chunk, logits: NDArray[np.float32]) -> Iterator[Row]:
        """Yield the rows of a chunk: its part of an echoed prompt, and the next token."""
        sequence = chunk.sequence
        if sequence.labels is not None:
            yield from self._report_labels(chunk, sequence.labels, logits)
            return
        if sequence.echo is not None:
            text, scored = sequence.echo.tell(chunk.start + chunk.count, logits)
            if text or scored:
                yield Row(sequence.id, text, 0, None, scored)
        if chunk.samples:
            yield self._accept(sequence, logits[-1])

    def _report_labels(
        self, chunk: Chunk, labels: Labels, logits: NDArray[np.float32]
    ) -> Iterator[Row]:
        if chunk.paths:
            labels.tell_paths(chunk.paths, logits)
        elif chunk.samples:
            labels.tell_prompt(logits[-1])
        if labels.complete:
            self._remove(chunk.sequence)
            values, reused = labels.values(), chunk.sequence.reused or 0
            yield Row(chunk.sequence.id, "", 0, "stop", (), values.tobytes(), reused)

    def _pick(self, sequence: Sequence, logits: NDArray[np.float32]) -> int | None:
        guide = sequence.guide
        restrict: Restrict | None = None if guide is None else guide.restrict
        if sequence.decisions is not None:
            restrict = sequence.decisions.watching(logits, restrict)
        return sequence.sampler.pick(
            logits,
            sequence.tokens,
            restrict=restrict,
            banned=self.model.ends if sequence.generated < sequence.min_tokens else (),
        )

    def _accept(self, sequence: Sequence, logits: NDArray[np.float32]) -> Row:
        """Append the next token and what a grammar forces after it."""
        row = bits(logits) if sequence.max_tokens else 0  # before a grammar masks any
        token = self._pick(sequence, logits) if sequence.max_tokens else None
        if token is None:
            self._remove(sequence)
            return Row(sequence.id, "", 0, "invalid" if sequence.max_tokens else "length")
        if sequence.guide is not None:
            token = sequence.guide.within(token, sequence.max_tokens - sequence.generated)
        scored = () if sequence.logprobs is None else (self._score(sequence, logits, token),)
        decided = None if sequence.decisions is None else sequence.decisions.score(token)
        forced = [] if sequence.guide is None else sequence.guide.accept(token)
        chosen = CHOSEN.pack(token, logits[token], row)
        text, count = "", 0
        finish: Finish | None = None if forced is not None else "invalid"
        for following in (token, *(forced or ())):
            if finish:
                break
            piece, finish = self._append(sequence, following)
            text, count = text + piece, count + 1
        whole = count == 1 + len(
            forced or ()
        )  # a document that ends with the last token is complete
        if finish in (None, "length") and whole and sequence.guide and sequence.guide.stopped:
            finish = "stop"
        if finish:
            text += sequence.stream.finish()
            self._remove(sequence)
        # A stop string that the client chose may end a document anywhere: it is cut, not wrong.
        stream = sequence.stream
        complete = finish == "stop" and not stream.stopped
        if sequence.guide is not None and not sequence.guide.wrote(text, complete):
            finish = "invalid"
        told = () if decided is None else (decided,)
        reused = sequence.reused or 0
        chosen += b"".join(
            CHOSEN.pack(forced_one, 0, 0) for forced_one in (forced or ())[: count - 1]
        )
        return Row(
            sequence.id, text, count, finish, scored, b"", reused, told, chosen, stream.stopped
        )

    def _score(self, sequence: Sequence, logits: NDArray[np.float32], token: int) -> TokenLogprob:
        if sequence.logprobs is None:
            raise RuntimeError("nobody asked for log-probabilities")
        return sequence.logprobs.score(logits, token, self.model.piece(token))

    def _append(self, sequence: Sequence, token: int) -> tuple[str, Finish | None]:
        """Append one token; the text that is now certain and the finish reason of a last token."""
        sequence.tokens.append(token)
        if token in self.model.ends and not sequence.ignore_eos:
            return "", "stop"
        piece = self.model.piece(token)
        if sequence.decisions is not None:
            sequence.decisions.wrote(piece)
        text = sequence.stream.push(piece, may_stop=sequence.generated >= sequence.min_tokens)
        if sequence.stream.stopped:
            return text, "stop"
        return text, "length" if sequence.generated >= sequence.max_tokens else None

    def _remove(self, sequence: Sequence) -> None:
        self.scheduler.remove(sequence)
        del self._sequences[sequence]
