"""The backends of tasks, beside those of the models that answer for them.

Rule: a task answers over the very model that it names by digest, or not at all.
"""

from dataclasses import replace

from appliance.admission.places import Place
from appliance.errors import Unavailable
from appliance.serving.backend import Backend, Backends
from appliance.tasks.backend import TaskBackend
from appliance.tasks.catalogue import Tasks
from appliance.types import ModelCard


class TaskBackends:
    """`Backends` of tasks by their ids; every other id is a model's.

    Args:
        models: what answers between.
        tasks: hide models of the same id.
    """

    def __init__(self, models: Backends, tasks: Tasks) -> None:
        self._models = models
        self._tasks = tasks

    def cards(self) -> list[ModelCard]:
        """The tasks whose models can answer, then the models."""
        models = {card.id: card for card in self._models.cards()}
        named = {name: self._tasks.model_of(name) or "" for name in self._tasks.names()}
        tasks = [replace(models[m], id=name) for name, m in named.items() if m in models]
        return [*tasks, *(card for card in models.values() if card.id not in named)]

    def card(self, model_id: str) -> ModelCard:
        """The card of a task or a model; raises as `Backends.card`."""
        return replace(self._models.card(self._model(model_id)), id=model_id)

    def slots(self, model_id: str) -> int:
        """Requests that run at once; raises as `Backends.slots`."""
        return self._models.slots(self._model(model_id))

    async def open(self, model_id: str, key_id: str, place: Place) -> Backend:
        """The backend of a task or a model; raises as `Backends.open`.

        Raises:
            Refused: a check of the task fails.
            Unavailable: `task_model_changed` over another model than the task names.
        """
        if self._tasks.model_of(model_id) is None:
            return await self._models.open(model_id, key_id, place)
        loaded = await self._tasks.open(model_id)
        candidate = loaded.task.candidate
        backend = await self._models.open(candidate.model, key_id, place)
        if backend.card.digest != candidate.digest:
            raise Unavailable(
                "task_model_changed",
                f"{model_id} was made for {candidate.model} with the digest {candidate.digest}; "
                "another one is loaded under this id.",
            )
        return TaskBackend(loaded, backend)

    def _model(self, model_id: str) -> str:
        return self._tasks.model_of(model_id) or model_id
