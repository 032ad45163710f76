"""Asking a task's candidate for the answers of items, through the path that apps use.

Rules: every answer is recorded like an app's; evaluation runs at batch priority; a failure of the
candidate is an outcome, but a server that stops or a log that cannot be written ends it all.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Final

from appliance.datasets.items import Item
from appliance.errors import ApplianceError, AuditUnavailable, Overloaded
from appliance.evals import scoring
from appliance.evals.outcomes import Outcome
from appliance.serving.generation import Generation
from appliance.serving.inference import EVALUATION, Inference
from appliance.tasks.definition import Task
from appliance.types import Caller, GenerationRequest, Limits, Principal, Priority

TIMEOUT_S: Final = 120.0
_RETRY_S: Final = 0.5
_OURS: Final = frozenset({"shutting_down", "model_loading"})
"""Codes that say nothing about a candidate."""

ASKER: Final = Principal(EVALUATION, EVALUATION, limits=Limits(priority=Priority.BATCH))


@dataclass(frozen=True)
class Asking:
    """Asks one task.

    Attributes:
        inference: answers for the task, under its id.
        label: names the evaluation in the log.
        timeout: seconds that an answer may take.
    """

    task: Task
    inference: Inference
    label: str
    timeout: float = TIMEOUT_S

    async def outcome(self, item: Item) -> Outcome:
        """The outcome of one item.

        Raises:
            ApplianceError: the server stops, or the log cannot be written.
        """
        expected = scoring.expected_of(self.task, item)
        sent = json.dumps(scoring.input_of(self.task, item), ensure_ascii=False)
        begun = time.perf_counter()
        answer, failure, generation = None, "", None
        confidence: float | None = None
        try:
            async with asyncio.timeout(self.timeout):
                generation = await self._start(item, sent)
                answer, confidence = await _collected(generation)
        except TimeoutError:
            failure = "timeout"
        except AuditUnavailable:
            raise
        except ApplianceError as error:
            if error.code in _OURS:
                raise
            failure = error.code
        finally:
            if generation is not None:
                await generation.cancel()
        seconds = time.perf_counter() - begun
        score = scoring.score(self.task, expected, answer)
        return Outcome(
            item=item.id,
            group=item.group,
            expected=expected,
            answer=answer,
            micros=round(score * 1e6),
            microseconds=round(seconds * 1e6),
            tokens=generation.completion_tokens if generation else 0,
            stratum=item.stratum or "",
            failure=failure,
            confidence_micros=None if confidence is None else round(confidence * 1e6),
        )

    async def _start(self, item: Item, sent: str) -> Generation:
        caller = Caller(ASKER, f"{self.label}-{item.id}"[:128], "", EVALUATION)
        messages = ({"role": "user", "content": sent},)
        while True:
            try:
                request = GenerationRequest(model=self.task.id, messages=messages)
                return await self.inference.start(caller, request)
            except Overloaded as error:
                if error.code != "queue_full":
                    raise
                await asyncio.sleep(_RETRY_S)  # apps fill the queue: they come first


async def _collected(generation: Generation) -> tuple[str, float | None]:
    """The whole answer and the confidence in it."""
    text, confidence = "", None
    async for delta in generation:
        text += delta.text
        if delta.about is not None:
            confidence = delta.about.confidence
    return text, confidence
