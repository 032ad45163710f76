"""The backends of tasks, beside those of the models that answer for them."""

from collections.abc import Mapping
from dataclasses import replace

from appliance.admission.places import Place
from appliance.serving.backend import Backend, Backends
from appliance.tasks.backend import TaskBackend
from appliance.tasks.loaded import LoadedTask
from appliance.types import ModelCard


class TaskBackends:
    """`Backends` of tasks by their ids; every other id is a model's.

    Args:
        models: what answers between.
        tasks: by id. A task hides a model with the same id.
    """

    def __init__(self, models: Backends, tasks: Mapping[str, LoadedTask]) -> None:
        self._models = models
        self._tasks = tasks

    def cards(self) -> list[ModelCard]:
        """The tasks, then the models."""
        hidden = [card for card in self._models.cards() if card.id not in self._tasks]
        return [*(self.card(name) for name in self._tasks), *hidden]

    def card(self, model_id: str) -> ModelCard:
        """The card of a task or a model; raises as `Backends.card`."""
        card = self._models.card(self._model(model_id))
        return replace(card, id=model_id)

    def slots(self, model_id: str) -> int:
        """Requests that run at once; raises as `Backends.slots`."""
        return self._models.slots(self._model(model_id))

    async def open(self, model_id: str, key_id: str, place: Place) -> Backend:
        """The backend of a task or a model; raises as `Backends.open`."""
        backend = await self._models.open(self._model(model_id), key_id, place)
        loaded = self._tasks.get(model_id)
        return backend if loaded is None else TaskBackend(loaded, backend)

    def _model(self, model_id: str) -> str:
        loaded = self._tasks.get(model_id)
        return model_id if loaded is None else loaded.task.candidate.model
