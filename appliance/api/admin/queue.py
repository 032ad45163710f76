"""Routes of the queue of people.

Rules: operators see items and answer them; reading texts, and taking the answers as labels, is
recorded before they leave.
"""

import json

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.audit.entry import Draft
from appliance.clock import iso
from appliance.errors import DatasetRefused
from appliance.routing.people import MOST_LABELS, DeferredItem
from appliance.types import Json
from appliance.wire.admin import queue as wire

router = Routes()


@router.serves(wire.QUEUE)
def queue(
    person: PersonDep, services: ServicesDep, everything: bool = False, task: str | None = None
) -> wire.Queue:
    """List waiting items, or all."""
    found = services.people.list(state=None if everything else "waiting", task=task)
    services.people.note_reading(person.actor, found)
    return wire.Queue(items=[_shown(item) for item in found])


@router.serves(wire.QUEUE_LABELS)
def labels(person: PersonDep, services: ServicesDep, wanted: wire.QueueTask) -> wire.QueueLabels:
    """The answers for a task as labelled items; recorded before they leave."""
    found, left_out = [], 0
    for item in services.people.list(state="answered", task=wanted.task, limit=MOST_LABELS):
        try:
            found.append(json.loads(item.item().line()))
        except DatasetRefused:
            left_out += 1
    body: dict[str, Json] = {
        "action": "queue_labels", "actor": person.actor, "task": wanted.task, "items": len(found),
    }  # fmt: skip
    taken = {"items": json.dumps(found, sort_keys=True).encode()}
    services.audit.append(Draft("admin", body, taken, "commit-only")).result()
    return wire.QueueLabels(items=found, left_out=left_out)


@router.serves(wire.QUEUE_ITEM)
def item(person: PersonDep, services: ServicesDep, item_id: str) -> wire.Waiting:
    """One item."""
    found = services.people.get(item_id)
    services.people.note_reading(person.actor, [found], again=True)
    return _shown(found)


@router.serves(wire.QUEUE_ANSWER)
def answer(
    person: PersonDep, services: ServicesDep, item_id: str, wanted: wire.QueueAnswer
) -> wire.Waiting:
    """Answer an item."""
    return _shown(services.people.answer(item_id, wanted.answer, person.actor))


def _shown(item: DeferredItem) -> wire.Waiting:
    return wire.Waiting.told_by(
        item,
        input=dict(item.input),
        labels=list(item.form.labels),
        form=None if item.form.schema is None else dict(item.form.schema),
        created=iso(item.created_us),
        deadline=iso(item.deadline_us),
    )
