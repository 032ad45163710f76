"""A stage on another host: the prompt and the form of a task, and an upstream that answers.

Rules:
- Permission, queue, quota and retention are those of any request to the upstream.
- The task is checked as if it answered here, without its own model.
- An upstream without approval, or with another model than the stage names, is away.
- A task of coefficients or documents does not answer over another model.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from appliance.admission.places import Place
from appliance.errors import Unavailable
from appliance.routing.definition import StageDefinition
from appliance.routing.upstreams.backends import UpstreamBackends
from appliance.serving.backend import Backends, ModelBackend
from appliance.tasks.backend import TaskBackend
from appliance.tasks.catalogue import Tasks
from appliance.tasks.definition import Text, form_of
from appliance.tasks.loaded import LoadedTask
from appliance.types import ModelCard


@dataclass(frozen=True)
class _StageBackend(TaskBackend):
    @property
    def card(self) -> ModelCard:
        return replace(self.model.card, form=form_of(self.loaded.task))


@dataclass(frozen=True)
class StageBackends:
    """`Backends` of one stage; the id is the name of its upstream."""

    hosts: UpstreamBackends
    tasks: Tasks
    stage: StageDefinition

    def cards(self) -> list[ModelCard]:
        return [self.card(self.stage.upstream or "")]

    def card(self, model_id: str) -> ModelCard:
        entry = self.tasks.entry(self.stage.task or "")
        return replace(self.hosts.card(model_id), form=entry.form if entry is not None else "")

    def resolve(self, model_id: str, app: str) -> str:
        return model_id

    def slots(self, model_id: str) -> int:
        return self.hosts.slots(model_id)

    async def open(self, model_id: str, key_id: str, place: Place) -> ModelBackend:
        """Raises as `Backends.open`.

        Raises:
            Unavailable: `route_stage_away`: the task is another one now, or answers by more than
                its prompt.
        """
        loaded = await self.tasks.open(self.stage.task or "")
        _check_task(loaded, self.stage)
        model = await self.hosts.open(model_id, key_id, place)
        named = msgspec.structs.replace(
            loaded.task.candidate, model=model_id, digest=model.card.digest
        )
        task = msgspec.structs.replace(loaded.task, candidate=named)
        return _StageBackend(replace(loaded, task=task), model)


def stages_of(hosts: UpstreamBackends, tasks: Tasks) -> Callable[[StageDefinition], Backends]:
    """The backends of stages on other hosts."""

    def backends(stage: StageDefinition) -> Backends:
        found = hosts.upstream(stage.upstream or "")
        if found is None:
            raise _away(f"The upstream {stage.upstream} is not approved here.")
        if found.config.model != stage.model:
            raise _away(f"{stage.upstream} has the model {found.config.model}, not {stage.model}.")
        return StageBackends(hosts, tasks, stage)

    return backends


def _check_task(loaded: LoadedTask, stage: StageDefinition) -> None:
    output = loaded.task.output
    cites = isinstance(output, Text) and output.collection is not None
    if loaded.digest != stage.digest:
        raise _away(f"{stage.task} is another one.")
    if cites or loaded.task.candidate.kind != "model":
        raise _away(f"{stage.task} answers by more than its prompt, so not on another host.")


def _away(message: str) -> Unavailable:
    return Unavailable("route_stage_away", message)
