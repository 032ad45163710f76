"""A task whose form of answers is not forced, to measure the effect of the forcing.

Rules: the prompt is the task's; no schema, grammar or set of labels holds the model; its text is
read as kindly as the form allows.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Final, assert_never

from appliance.admission.places import Place
from appliance.errors import TaskRefused
from appliance.evals.scoring import canonical
from appliance.serving.backend import Backends, ModelBackend, PreparedRequest
from appliance.tasks import values
from appliance.tasks.backend import TaskBackend
from appliance.tasks.definition import JsonForm, LabelForm, Text
from appliance.tasks.loaded import LoadedTask
from appliance.types import Delta, GenerationRequest, ModelCard, Principal

_LABEL_TOKENS: Final = 32
_FIELD_TOKENS: Final = 256


def forced(loaded: LoadedTask) -> str | None:
    """The constraint: labels, schema or grammar; None without one."""
    output = loaded.task.output
    match output:
        case LabelForm():
            return "labels"
        case JsonForm():
            return "schema"
        case Text():
            return "grammar" if output.grammar is not None else None
        case _:
            assert_never(output)


def read_freely(loaded: LoadedTask, text: str) -> str:
    """The answer in the text, else the text."""
    output = loaded.task.output
    if isinstance(output, LabelForm):
        written = text.strip()
        named = [label for label in output.labels if output.written(label) == written]
        return named[0] if named else written
    if isinstance(output, JsonForm) and output.encoding == "values":
        try:
            return canonical(values.read(loaded.schema, text.strip("\n")))
        except TaskRefused:
            return text
    return text


class UnforcedTask:
    """`Backends` in which one task answers without being held to its form."""

    def __init__(self, tasks: Backends, loaded: LoadedTask) -> None:
        self._tasks, self._loaded = tasks, loaded
        self.cards, self.card, self.slots = tasks.cards, tasks.card, tasks.slots
        self.resolve = tasks.resolve

    async def open(self, model_id: str, key_id: str, place: Place) -> ModelBackend:
        backend = await self._tasks.open(model_id, key_id, place)
        if model_id == self._loaded.task.id and isinstance(backend, TaskBackend):
            return _Unforced(backend)
        return backend


@dataclass(frozen=True)
class _Unforced:
    task: TaskBackend

    @property
    def card(self) -> ModelCard:
        return self.task.card

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        asked = self.task.asked(request)
        labels = isinstance(self.task.loaded.task.output, LabelForm)
        free = replace(
            asked,
            constraint=None,
            stop=("\n",) if labels else asked.stop,
            max_tokens=asked.max_tokens or (_LABEL_TOKENS if labels else _FIELD_TOKENS),
        ).needing(labels=())
        return await self.task.model.prepare(free, principal, seed)

    def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        return self.task.model.run(prepared)

    async def cancel(self, prepared: PreparedRequest) -> None:
        await self.task.model.cancel(prepared)
