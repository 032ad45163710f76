"""Several prompts in one completion request: a generation each, answered as one.

Rules: each prompt is a request of its own for the log, the queue and the quota, under an id of its
own; if one cannot start, none continues, unless one waits for a person: then all are answered or
wait, and the error names all that do; choice j of prompt i has the index i times n plus j.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from appliance import draws
from appliance.errors import Queued
from appliance.serving.generation import ServedAnswer, StartedAnswer
from appliance.serving.inference import Inference
from appliance.types import Caller, Delta, GenerationRequest, Receipt, TaskAnswer


@dataclass(frozen=True)
class Receipts:
    """One receipt a prompt, in their order."""

    receipts: tuple[Receipt, ...]

    def header(self) -> str:
        return ", ".join(receipt.header() for receipt in self.receipts)


class Several:
    """Answers that run side by side: one `ServedAnswer`.

    Args:
        found: a generation of each request, or the error of one that waits for a person.
    """

    def __init__(self, found: Sequence[StartedAnswer | Queued], counts: Sequence[int]) -> None:
        self._queued = [one for one in found if isinstance(one, Queued)]
        self._offsets = [
            sum(counts[:at]) for at, one in enumerate(found) if not isinstance(one, Queued)
        ]
        self._all = [one for one in found if not isinstance(one, Queued)]
        first = self._all[0]
        self.card, self.created, self.form, self.seed = (
            first.card, first.created, first.form, first.seed,
        )  # fmt: skip
        self.choices = sum(counts)
        self.about: TaskAnswer | None = None  # several answers share no confidence
        self.intent = Receipts(tuple(one.intent for one in self._all))

    @property
    def prompt_tokens(self) -> int:
        return sum(one.prompt_tokens for one in self._all)

    @property
    def cached_tokens(self) -> int:
        return sum(one.cached_tokens for one in self._all)

    @property
    def completion_tokens(self) -> int:
        return sum(one.completion_tokens for one in self._all)

    @property
    def outcome(self) -> Receipts | None:
        """The receipts, once all are durable."""
        found = [one.outcome for one in self._all if one.outcome is not None]
        return Receipts(tuple(found)) if len(found) == len(self._all) else None

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """All pieces, until the first failure; raises Queued at the end."""
        pieces: asyncio.Queue[Delta | BaseException | None] = asyncio.Queue()

        async def follow(one: StartedAnswer, offset: int) -> None:
            try:
                async for delta in one:
                    pieces.put_nowait(replace(delta, index=delta.index + offset))
                pieces.put_nowait(None)
            except BaseException as error:
                pieces.put_nowait(error)
                raise

        queued, pairs = [*self._queued], zip(self._all, self._offsets, strict=True)
        tasks = [asyncio.create_task(follow(*pair)) for pair in pairs]
        left = len(tasks)
        try:
            while left:
                piece = await pieces.get()
                if isinstance(piece, Delta):
                    yield piece
                    continue
                left -= 1
                if isinstance(piece, Queued):
                    queued.append(piece)
                elif piece is not None:
                    raise piece
            if queued:
                raise Queued.together(queued)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def cancel(self) -> None:
        await asyncio.gather(*(one.cancel() for one in self._all))


async def start_all(
    inference: Inference, caller: Caller, requests: Sequence[GenerationRequest]
) -> ServedAnswer:
    """A generation for each request; an error of one start ends all of them."""
    if len(requests) == 1:
        return await inference.start(caller, requests[0])
    callers = [caller, *(replace(caller, request_id=draws.request_id()) for _ in requests[1:])]
    starts = (inference.start(*pair) for pair in zip(callers, requests, strict=True))
    found = await asyncio.gather(*starts, return_exceptions=True)
    taken = [one for one in found if isinstance(one, Queued) or not isinstance(one, BaseException)]
    begun = [one for one in taken if not isinstance(one, Queued)]
    for failed in found:
        if isinstance(failed, BaseException) and not isinstance(failed, Queued):
            await asyncio.gather(*(one.cancel() for one in begun))
            raise failed
    if not begun:
        raise Queued.together([one for one in taken if isinstance(one, Queued)])
    return Several(taken, [request.n for request in requests])
