"""Routes of the label queues: make, label, compare, take the answers, remove.

Rules: a rater is the user at the other end of the socket; labels are not compared until both raters
have finished; the log has no label, because a rater may read it; the entry of the answers taken
commits to them.
"""

import json
from pathlib import Path
from typing import Annotated

from fastapi import Path as InPath

from appliance.api.admin.deps import Person, PersonDep, Routes, ServicesDep
from appliance.api.labelled import keep_label
from appliance.app import Services
from appliance.audit.entry import Draft
from appliance.clock import iso
from appliance.datasets import directory, labelling
from appliance.datasets.label_queues import StoredLabelQueue, shuffled
from appliance.errors import StateRefused
from appliance.jobs.states import ENDED
from appliance.types import Json
from appliance.wire.admin import labels as wire

router = Routes()
Name = Annotated[str, InPath(pattern=wire.NAME)]


@router.serves(wire.LABEL_QUEUES)
def list_queues(services: ServicesDep) -> wire.LabelQueueList:
    """All queues."""
    return wire.LabelQueueList(queues=[_shown(queue) for queue in services.labels.list()])


@router.serves(wire.LABEL_QUEUE_NEW)
def new_queue(person: PersonDep, services: ServicesDep, wanted: wire.LabelsNew) -> wire.LabelQueue:
    """Make a label queue of the unlabelled items of a dataset."""
    found = directory.read(Path(wanted.data))
    items = shuffled(found.splits.get("unlabelled", ()))
    items = items[: wanted.limit] if wanted.limit else items
    services.labels.create(wanted.name, wanted.data, items, wanted.labels, wanted.raters)
    try:
        _record(
            services, person, "labels_new", queue=wanted.name, data=wanted.data, items=len(items),
            raters=list(wanted.raters),
        )  # fmt: skip
    except BaseException:
        services.labels.remove(wanted.name)
        raise
    return _shown(services.labels.get(wanted.name))


@router.serves(wire.LABEL_QUEUE)
def show_queue(services: ServicesDep, name: Name) -> wire.LabelQueue:
    """One queue: how far its people are."""
    return _shown(services.labels.get(name))


@router.serves(wire.LABEL_NEXT)
def next_item(person: PersonDep, services: ServicesDep, name: Name) -> wire.LabelNext:
    """The item that a person labels next, without the labels of others."""
    work, rater = services.labels.get(name).labelling, person.name
    item = work.next_item(rater)
    total = len(work.asked_of(rater))
    if item is None:
        return wire.LabelNext(rater=rater, done=total, total=total)
    return wire.LabelNext(
        rater=rater,
        item=item,
        input=dict(services.labels.input_of(name, item)),
        labels=list(work.labels),
        done=work.done.get(rater, 0),
        total=total,
    )


@router.serves(wire.LABEL_SET)
def set_label(
    person: PersonDep, services: ServicesDep, name: Name, wanted: wire.LabelSet
) -> wire.LabelQueue:
    """Keep the label that a person gave an item; recorded before it is kept."""
    new = labelling.Given(wanted.item, person.name, wanted.label, wanted.together)
    return _shown(keep_label(services, name, new, person.actor))


@router.serves(wire.LABEL_DIFFERENCES)
def differences(services: ServicesDep, name: Name) -> wire.LabelDifferences:
    """List items that the raters labelled differently, when both have finished."""
    work = services.labels.get(name).labelling
    found = [
        wire.LabelDifference(
            item=pair.item,
            input=dict(services.labels.input_of(name, pair.item)),
            said=list(pair.said),
        )
        for pair in work.differences()
    ]
    return wire.LabelDifferences(
        raters=list(work.raters), labels=list(work.labels), differences=found
    )


@router.serves(wire.LABEL_ANSWERS)
def take_answers(person: PersonDep, services: ServicesDep, name: Name) -> wire.LabelAnswers:
    """The settled labels, for the dataset that they make; recorded before they leave."""
    services.labels.check(name)
    queue = services.labels.get(name)
    if queue.job:
        raise StateRefused("label_queue_sealed", f"{name} is of the gate {queue.job}.")
    work = queue.labelling
    answers, report = work.answers(), labelling.report(work)
    kept = json.dumps(answers, sort_keys=True).encode()
    _record(services, person, "labels_taken", kept, queue=name, answers=len(answers))
    return wire.LabelAnswers(answers=answers, report=dict(report))


@router.serves(wire.LABEL_QUEUE_REMOVE)
def remove_queue(person: PersonDep, services: ServicesDep, name: Name) -> wire.LabelQueueList:
    """Remove a label queue with its texts and labels; recorded before."""
    if job := services.labels.get(name).job:
        _check_over(services, name, job)
    _record(services, person, "labels_remove", queue=name)
    services.labels.remove(name)
    return wire.LabelQueueList(queues=[_shown(queue) for queue in services.labels.list()])


def _check_over(services: Services, name: str, job: int) -> None:
    try:
        state = services.jobs.store.get(job).state
    except StateRefused:  # forgotten, as only jobs are that ended
        return
    if state not in ENDED:
        message = f"{name} is of the gate {job}, which is {state}; cancel the gate first."
        raise StateRefused("job_wrong_state", message)


def _shown(queue: StoredLabelQueue) -> wire.LabelQueue:
    work = queue.labelling
    kappa = work.kappa() if work.compared and work.items else None
    return wire.LabelQueue.told_by(
        work,
        name=queue.name,
        data=queue.source,
        created=iso(queue.created_us),
        items=len(work.items),
        aside=work.reasons,
        finished=work.compared,
        agreement=None if kappa is None else kappa.agreement,
        kappa=None if kappa is None else kappa.value,
        unsettled=len(work.differences()) if work.compared else None,
        job=queue.job,
    )


def _record(
    services: Services, person: Person, action: str, committed: bytes | None = None, **fields: Json
) -> None:
    texts = {} if committed is None else {"answers": committed}
    body = {"action": action, "actor": person.actor, **fields}
    services.audit.append(Draft("admin", body, texts, "commit-only")).result()
