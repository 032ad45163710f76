"""Targets of stages: the use-case of answers here, or one over an engine on another host.

Rule: whatever a stage is, its hop is a request of an `Inference` under the app's own key, so that
quota, permission, retention and log are those of any request.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from appliance.errors import ApplianceError, Unavailable
from appliance.routing.definition import RouteDefinition, StageDefinition
from appliance.serving.backend import Backends
from appliance.serving.generation import Generation
from appliance.tasks.catalogue import Tasks
from appliance.types import Caller, GenerationRequest

Start = Callable[[Caller, GenerationRequest], Awaitable[Generation]]
"""Starts a request; raises as `Inference.begin`."""


class Local(Protocol):
    """Starts a request here: `Inference.begin`."""

    async def __call__(
        self, caller: Caller, request: GenerationRequest, backends: Backends | None = None
    ) -> Generation: ...


@dataclass(frozen=True)
class StageTarget:
    """Target of a stage."""

    start: Start
    model: str


Upstream = Callable[[StageDefinition], Backends]
"""Finds the answerer of a stage of the kind `upstream`; raises Unavailable while it is away."""
Enqueue = Callable[[Caller, GenerationRequest, RouteDefinition, str], Awaitable[ApplianceError]]
"""Keeps a deferred request (caller, request, route, why) for a person; what the app is told."""


class Targets:
    """Resolves stages.

    Args:
        upstream: engines on other hosts; None where there are none.
        enqueue: the queue of people; None where there is none.
    """

    def __init__(
        self, tasks: Tasks, upstream: Upstream | None = None, enqueue: Enqueue | None = None
    ) -> None:
        self._tasks, self._upstream, self.enqueue = tasks, upstream, enqueue

    def resolve(self, stage: StageDefinition, local: Local) -> StageTarget:
        """Raises Unavailable: `route_stage_away` when the task is not approved here, is another one
        than the stage names, or the upstream is not there.
        """
        entry = self._tasks.entry(stage.task or "")
        if entry is None or entry.digest != stage.digest:
            raise Unavailable(
                "route_stage_away", f"{stage.task} is not approved here, or is another one."
            )
        if stage.kind == "task":
            return StageTarget(local, entry.id)
        if stage.kind == "upstream" and self._upstream is not None:
            return StageTarget(partial(local, backends=self._upstream(stage)), stage.upstream or "")
        raise Unavailable("route_stage_away", f"Nothing here answers for the stage {stage.name}.")
