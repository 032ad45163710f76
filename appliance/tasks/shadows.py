"""Shadow versions: they answer apps' requests under a name, after the apps were answered.

Rules: no app ever gets the answer of a shadow; it is recorded under the key id `shadow` and the
app's request id with `-shadow`, with the content retention of the app; it runs at batch priority,
one at a time; requests beyond the queue are dropped and counted. A failed answer counts as a
failure, not as one that was not requested.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.errors import ApplianceError
from appliance.serving.generation import Generation
from appliance.serving.inference import OWN, SHADOW, Inference
from appliance.tasks.names import TaskNames
from appliance.types import Caller, GenerationRequest, Limits, Principal, Priority
from appliance.wire.admin.pointers import ShadowTally

TABLES: Final = """
CREATE TABLE shadow_answers (
  id INTEGER PRIMARY KEY,
  pointer TEXT NOT NULL,
  request TEXT NOT NULL,
  verdict TEXT NOT NULL CHECK (verdict IN ('same', 'differs', 'failed'))
) STRICT;
CREATE INDEX shadow_answers_of ON shadow_answers (pointer, verdict);
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

_ANSWERS: Final = sa.table(
    "shadow_answers", *map(sa.column, ("id", "pointer", "request", "verdict"))
)
_QUEUE: Final = 256
_KEPT: Final = 100_000
"""Comparisons that are kept; older ones are forgotten."""
_TIMEOUT_S: Final = 120.0
_log = logging.getLogger("appliance")

Verdict = Literal["same", "differs", "failed"]


@dataclass(frozen=True)
class _Asked:
    pointer: str
    caller: Caller
    request: GenerationRequest
    text: str


class Shadows:
    """Asks the shadows of names, and keeps the comparisons."""

    def __init__(self, names: TaskNames, database: Engine) -> None:
        self._names, self._database = names, database
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue(_QUEUE)
        self._dropped: Counter[str] = Counter()

    def note(self, generation: Generation) -> None:
        """Called in the event loop, without waiting."""
        if generation.text is None or generation.caller.principal.key_id in OWN:
            return
        found = self._names.shadow(generation.asked.model)
        if found is None:
            return
        pointer, entry = found
        request = replace(generation.asked, model=entry.id, priority=Priority.BATCH)
        try:
            self._queue.put_nowait(
                _Asked(pointer, _as_shadow(generation.caller), request, generation.text)
            )
        except asyncio.QueueFull:
            self._dropped[pointer] += 1

    async def run(self, inference: Inference) -> None:
        while True:
            asked = await self._queue.get()
            verdict = await _verdict(inference, asked)
            try:
                await asyncio.to_thread(self._keep, asked, verdict)
            except sa.exc.SQLAlchemyError as error:
                _log.warning("a comparison of %s is lost: %s", asked.request.model, error)
            self._queue.task_done()

    async def settled(self) -> None:
        await self._queue.join()

    def tally(self, pointer: str) -> ShadowTally:
        mine = _ANSWERS.c.pointer == pointer
        with self._database.begin() as connection:
            counts = connection.execute(
                sa.select(_ANSWERS.c.verdict, sa.func.count())
                .where(mine)
                .group_by(_ANSWERS.c.verdict)
            )
            counted = {str(verdict): int(count) for verdict, count in counts}
            newest = connection.execute(
                sa.select(_ANSWERS.c.request)
                .where(mine, _ANSWERS.c.verdict == "differs")
                .order_by(_ANSWERS.c.id.desc())
                .limit(20)
            )
            differing = [str(request) for (request,) in newest]
        return ShadowTally(**counted, dropped=self._dropped[pointer], differing=differing)

    def holds(self, ids: Collection[str]) -> Mapping[str, int]:
        asked = sa.select(_ANSWERS.c.pointer, sa.func.count()).where(_ANSWERS.c.request.in_(ids))
        with self._database.begin() as connection:
            found = connection.execute(asked.group_by(_ANSWERS.c.pointer)).all()
        return {str(pointer): int(count) for pointer, count in found}

    def erase(self, ids: Collection[str]) -> None:
        """Delete the comparisons of these requests; the shadow's texts are the log's."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(_ANSWERS).where(_ANSWERS.c.request.in_(ids)))

    def _keep(self, asked: _Asked, verdict: Verdict) -> None:
        request = asked.caller.request_id.removesuffix(f"-{SHADOW}")
        row = {"pointer": asked.pointer, "request": request, "verdict": verdict}
        with self._database.begin() as connection:
            made = connection.execute(
                sa.insert(_ANSWERS).values(row).returning(_ANSWERS.c.id)
            ).scalar_one()
            connection.execute(sa.delete(_ANSWERS).where(_ANSWERS.c.id <= made - _KEPT))


async def _verdict(inference: Inference, asked: _Asked) -> Verdict:
    text = ""
    generation = None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            generation = await inference.start(asked.caller, asked.request)
            async for delta in generation:
                text += delta.text if delta.index == 0 else ""
    except (ApplianceError, TimeoutError):
        return "failed"
    finally:
        if generation is not None:
            with contextlib.suppress(ApplianceError):
                await generation.cancel()
    return "same" if text == asked.text else "differs"


def _as_shadow(caller: Caller) -> Caller:
    principal = Principal(
        SHADOW, SHADOW, limits=Limits(priority=Priority.BATCH), content=caller.principal.content
    )
    return replace(caller, principal=principal, request_id=f"{caller.request_id}-{SHADOW}")
