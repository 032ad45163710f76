"""A task that a classifier answers: no language model runs.

Rules: refusals, records, counts and answers are as for a model; it computes in a thread of its own;
a classifier reads no more than the first characters of a text (`ngrams.MOST_CHARACTERS`).
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

import appliance
from appliance.serving.backend import ModelBackend, PreparedRequest, Provenance
from appliance.tasks.definition import LabelForm
from appliance.tasks.inputs import values_of
from appliance.tasks.labelled import answer, judged, text_of
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.request import content_of, unused
from appliance.types import Delta, GenerationRequest, ModelCard, Principal, TaskAnswer
from appliance.workers.coverage import Obstacle

_ENGINE: Final = f"appliance {appliance.__version__} numpy {np.__version__}"
_numbers = itertools.count()


@dataclass(frozen=True)
class ClassifierBackend:
    """A `Backend` over coefficients, next to a model that embeds where they need one."""

    loaded: LoadedTask
    card: ModelCard
    embedder: ModelBackend | None = None
    _cancelled: set[int] = field(default_factory=set)

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        """Raises as `Backend.prepare`; BadRequest (`task_input_invalid`, `task_parameter`)."""
        task = self.loaded.task
        text = text_of(task, values_of(task, content_of(request)))
        if self.embedder is not None:
            model = task.candidate.model
            asked = GenerationRequest(model, texts=(text,), priority=request.priority)
            prepared = await self.embedder.prepare(asked, principal, seed)
            provenance = replace(
                prepared.provenance, task=self.loaded.digest, unused=unused(request)
            )
            return replace(prepared, provenance=provenance)
        recorded = replace(request, messages=None, prompt=text)
        provenance = replace(self._provenance(), unused=unused(request))
        return PreparedRequest(recorded, next(_numbers), seed, 0, 0, provenance)

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        """The label, in one piece; raises as `Backend.run`."""
        text, vector, last = prepared.request.prompt or "", None, Delta("", 0, "stop")
        if self.embedder is not None:
            data = b""
            async for last in self.embedder.run(prepared):
                data += last.vector
            if last.finish_reason != "stop":
                yield replace(last, vector=b"")
                return
            vector = np.frombuffer(data, "<f4")
        label, told = await asyncio.to_thread(self._judged, text, vector)
        if prepared.number in self._cancelled:
            yield Delta("", 0, "cancelled")
            return
        told = replace(told, unused=prepared.provenance.unused)
        yield replace(last, text=label, vector=b"", about=told)

    async def cancel(self, prepared: PreparedRequest) -> None:
        """A thread's result is dropped."""
        if self.embedder is not None:
            await self.embedder.cancel(prepared)
        else:
            self._cancelled.add(prepared.number)

    def _judged(self, text: str, vector: NDArray[np.float32] | None) -> tuple[str, TaskAnswer]:
        output, classifier = self.loaded.task.output, self.loaded.classifier
        if not isinstance(output, LabelForm) or classifier is None:
            raise RuntimeError("a classifier was loaded without labels")
        return answer(self.loaded, output, judged(classifier, output, text, vector))

    def _provenance(self) -> Provenance:
        return Provenance(
            model=self.loaded.task.id,
            digest=self.loaded.classifier_digest,
            policy=self.loaded.policy,
            engine=_ENGINE,
            obstacle=Obstacle.CLASSIFIER,
            task=self.loaded.digest,
        )
