"""The text of a task, written again from its model's pieces.

Rule: texts of a blend, which needs a classifier's share, and of an answer that cites, which needs
passages, are not written again: the record of a request has neither.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from appliance.serving.backend import PreparedRequest, common
from appliance.tasks.backend import PreparedTask, TaskBackend
from appliance.tasks.catalogue import Tasks
from appliance.tasks.definition import Text
from appliance.types import Delta, GenerationRequest, ModelCard, Principal


@dataclass(frozen=True)
class _Generated:
    """A `ModelBackend` that generates the same pieces once more."""

    card: ModelCard
    pieces: Sequence[Delta]

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        raise NotImplementedError("it was prepared")

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        for piece in self.pieces:
            yield piece

    async def cancel(self, prepared: PreparedRequest) -> None: ...


@dataclass(frozen=True)
class TaskWriter:
    """Writes texts of tasks again."""

    tasks: Tasks

    async def text(
        self, digest: str, prepared: PreparedRequest, pieces: Sequence[Delta]
    ) -> str | None:
        """None where the task is not here or took more than the pieces.

        Raises:
            TaskRefused: `task_answer_invalid`.
        """
        entry = next((entry for entry in self.tasks.entries() if entry.digest == digest), None)
        if entry is None:
            return None
        loaded = await self.tasks.open(entry.id)
        output = loaded.task.output
        if loaded.classifier is not None or (isinstance(output, Text) and output.collection):
            return None
        card = ModelCard(entry.model, "", 0, 0)
        backend = TaskBackend(loaded, _Generated(card, pieces))
        asked = PreparedTask(**common(prepared))
        return "".join([piece.text async for piece in backend.run(asked)])
