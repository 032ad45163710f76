"""The backends of tasks, besides those of the models that answer for them.

Rules: a task answers over the very model that it names by digest, or not at all; one without a
model answers by itself.
"""

from dataclasses import dataclass, replace

from appliance.admission.places import Place
from appliance.errors import NotFound, Unavailable
from appliance.serving.backend import Backends, ModelBackend
from appliance.tasks.backend import TaskBackend
from appliance.tasks.catalogue import CatalogueEntry, Tasks
from appliance.tasks.cited import CitedBackend, Evidence
from appliance.tasks.classifying import ClassifierBackend
from appliance.tasks.definition import Text
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.names import TaskNames
from appliance.types import ModelCard

_AT_ONCE = 2
"""Requests that a classifier without a model answers at once; each takes milliseconds."""


@dataclass(eq=False)
class TaskBackends:
    """`Backends` of tasks by their ids; every other id is a model's.

    Args:
        tasks: hide models of the same id.
        names: of tasks; None: no names.
        evidence: searches the collections of tasks that cite; None: such tasks are refused.
    """

    models: Backends
    tasks: Tasks
    names: TaskNames | None = None
    evidence: Evidence | None = None

    def cards(self) -> list[ModelCard]:
        models = {card.id: card for card in self.models.cards()}
        entries = self.tasks.entries()
        if self.names is not None:
            ids = {entry.id for entry in entries} | models.keys()
            entries = [*entries, *(e for e in self.names.entries() if e.id not in ids)]
        tasks = [
            _card(entry, models.get(entry.model))
            for entry in entries
            if not entry.model or entry.model in models
        ]
        named = {entry.id for entry in entries}
        return [*tasks, *(card for card in models.values() if card.id not in named)]

    def card(self, model_id: str) -> ModelCard:
        """Raises as `Backends.card`; Unavailable (`task_model_missing`)."""
        entry = self.tasks.entry(model_id)
        if entry is None:
            return self.models.card(model_id)
        return _card(entry, self._model_card(entry) if entry.model else None)

    def resolve(self, model_id: str, app: str) -> str:
        """An id that is no name stays."""
        if self.names is None or self.tasks.entry(model_id) is not None:
            return model_id
        if (found := self.names.answers(model_id, app)) is not None:
            return found.id
        signed = self.names.pointer(model_id)
        task = model_id if signed is None else signed.said.live.task
        # A task that is out of service says why; one of another digest stays unknown.
        return task if self.tasks.entry(task) is None else model_id

    def slots(self, model_id: str) -> int:
        entry = self.tasks.entry(model_id)
        if entry is not None and not entry.model:
            return _AT_ONCE
        return self.models.slots(model_id if entry is None else entry.model)

    async def open(self, model_id: str, key_id: str, place: Place) -> ModelBackend:
        """Raises as `Backends.open`.

        Raises:
            Unavailable: `task_model_changed` over another model than the task names.
        """
        if self.tasks.entry(model_id) is None:
            return await self.models.open(model_id, key_id, place)
        loaded = await self.tasks.open(model_id)
        card = self.card(model_id)
        candidate = loaded.task.candidate
        if not candidate.model:
            return ClassifierBackend(loaded, card)
        backend = await self.models.open(candidate.model, key_id, place)
        _check_digest(loaded, backend)
        if candidate.kind == "classifier":
            return ClassifierBackend(loaded, card, backend)
        return self._citing(TaskBackend(loaded, backend))

    def _citing(self, task: TaskBackend) -> ModelBackend:
        output = task.loaded.task.output
        if not isinstance(output, Text) or output.collection is None:
            return task
        if self.evidence is None:
            message = f"{task.card.id} cites documents, and there are none here."
            raise NotFound("collection_not_found", message)
        return CitedBackend(task, output, output.collection, self.evidence)

    def _model_card(self, entry: CatalogueEntry) -> ModelCard:
        try:
            return self.models.card(entry.model)
        except NotFound as error:
            raise Unavailable(
                "task_model_missing",
                f"{entry.id} answers over {entry.model}, which is not approved here.",
            ) from error


def _card(entry: CatalogueEntry, model: ModelCard | None) -> ModelCard:
    if model is None:
        return ModelCard(entry.id, entry.digest, 0, entry.created, form=entry.form)
    return replace(
        model, id=entry.id, form=entry.form, kind="generate", worker=model.engine,
        citations=entry.citations,
    )  # fmt: skip


def _check_digest(loaded: LoadedTask, backend: ModelBackend) -> None:
    candidate = loaded.task.candidate
    if backend.card.digest != candidate.digest:
        raise Unavailable(
            "task_model_changed",
            f"{loaded.task.id} was made for {candidate.model} with the digest {candidate.digest}; "
            "another one is loaded under this id.",
        )
