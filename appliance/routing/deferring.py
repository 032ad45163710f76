"""Queue of requests that no stage of a route may answer, for people.

Rule: a person sees the input fields as the app sent them, and answers in the form of the task.
"""

import asyncio
from collections.abc import Iterable
from typing import assert_never

from appliance.errors import Deferred, Queued, Refused
from appliance.routing.definition import RouteDefinition
from appliance.routing.people import Form, People
from appliance.tasks.catalogue import Tasks
from appliance.tasks.definition import JsonForm, LabelForm, Text
from appliance.tasks.inputs import values_of
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.request import content_of
from appliance.types import Caller, GenerationRequest


class Deferring:
    """Keeps deferred requests for people."""

    def __init__(self, people: People, tasks: Tasks) -> None:
        self._people, self._tasks = people, tasks

    async def __call__(
        self, caller: Caller, request: GenerationRequest, route: RouteDefinition, why: str
    ) -> Deferred:
        """Keep a request. The error to raise is `task_queued` with the item, or `task_deferred`
        while no task of the route is here.
        """
        loaded = await first_task(route, self._tasks)
        if loaded is None or route.queue is None:
            return Deferred("task_deferred", f"No task of {route.id} is here ({why}).")
        item = await asyncio.to_thread(
            self._people.put,
            caller,
            route.id,
            values_of(loaded.task, content_of(request)),
            form_of(loaded),
            hours=route.queue.hours,
            reason=why,
        )
        message = f"No stage of {route.id} may answer this input ({why}); {item.id} waits."
        return Queued("task_queued", message, item=item.document())


async def first_task(route: RouteDefinition, tasks: Tasks) -> LoadedTask | None:
    """The first stage's task that is here and passes its checks."""
    names: Iterable[str] = (stage.task for stage in route.stages if stage.task is not None)
    for name in names:
        if tasks.entry(name) is not None:
            try:
                return await tasks.open(name)
            except Refused:
                continue
    return None


def form_of(loaded: LoadedTask) -> Form:
    """Form that a person's answer must have."""
    output = loaded.task.output
    match output:
        case LabelForm():
            return Form(output.labels)
        case JsonForm():
            return Form(schema=loaded.schema.document)
        case Text():
            return Form()
        case _:
            assert_never(output)
