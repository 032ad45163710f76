"""Labels for a comparison: people label the sealed items on which the two sides differ, and no
others.

Rules:
- An item with the same answer on both sides is a difference of 0 whatever its label is, so that the
  interval is the one that all labels would give.
- The queue has items under names of its own and in an order that is drawn; it tells no answer, and
  no entry joins its names to those of the answers.
- The labels go to the gate alone; then the queue goes with its texts.
- An item that was erased while it waited counts on neither side.
"""

import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from appliance.audit.log import Draft
from appliance.datasets.items import Item
from appliance.datasets.label_queues import LabelQueue
from appliance.errors import PolicyRefused
from appliance.evals import scoring
from appliance.evals.asking import ERASED, OURS
from appliance.evals.gate_outcomes import Measured
from appliance.evals.gate_subject import GateParts, Subject
from appliance.evals.outcomes import Outcome
from appliance.jobs.kind import Context, Waits
from appliance.tasks.definition import Labels, Task
from appliance.types import Json


def check_terms(subject: Subject) -> None:
    """Refuse what labels of differing items cannot show. Raises PolicyRefused."""
    tasks = [subject.loaded.task, *([subject.incumbent.task] if subject.incumbent else [])]
    if not all(isinstance(task.output, Labels) for task in tasks):
        raise PolicyRefused("specification_other", "Only answers that are labels are compared so.")
    if any((t.gate.metric, t.compare) != (tasks[0].gate.metric, tasks[0].compare) for t in tasks):
        raise PolicyRefused("specification_other", "The two tasks count other answers as right.")


def differing(candidate: Sequence[Outcome], incumbent: Sequence[Outcome]) -> list[str]:
    """The items that both sides were asked, and answered otherwise."""
    others = {outcome.item: outcome for outcome in incumbent}
    return [
        one.item
        for one in candidate
        if one.answer != others[one.item].answer
        and not {one.failure, others[one.item].failure} & OURS
    ]


def labelled(
    task: Task, outcomes: Sequence[Outcome], labels: Mapping[str, str], gone: Collection[str]
) -> tuple[Outcome, ...]:
    """Outcomes with the labels that were given, and without the items that are gone."""
    return tuple(
        replace(one, answer=None, micros=0, failure=ERASED)
        if one.item in gone
        else _scored(task, one, labels.get(one.item, ""))
        for one in outcomes
    )


def _scored(task: Task, one: Outcome, label: str) -> Outcome:
    right = scoring.score(task, label, one.answer) if label else 0.0
    return replace(one, expected=label, micros=round(right * 1e6))


def queue_of(job: int) -> str:
    """The name of the queue of a gate."""
    return f"gate-{job}"


def alias(key: bytes, item: str) -> str:
    """The queue's name of an item; nothing else has it."""
    return hmac.new(key, b"label\0" + item.encode(), "sha256").hexdigest()[:32]


def with_labels(
    parts: GateParts,
    job: Context,
    subject: Subject,
    items: Sequence[Item],
    measured: Measured,
    key: bytes,
) -> Measured:
    """The outcomes with the labels that people gave; the queue is made the first time.

    Raises:
        Waits: `gate_labels_wanted` while labels are missing.
        DatasetRefused: `label_queue_exists`.
        StateRefused: `state_differs`.
    """
    ids = set(differing(measured.candidate, measured.incumbent))
    names = {alias(key, item): item for item in sorted(ids)}
    labels: dict[str, str] = {}
    if ids:
        queue = _queue(parts, job, subject, items, names)
        told, origins = _settled(parts, queue, len(items)), parts.labels.origins(queue.name)
        labels = {origins[name]: label for name, label in told.items()}
    task = subject.loaded.task
    return replace(
        measured,
        candidate=labelled(task, measured.candidate, labels, ids - labels.keys()),
        incumbent=labelled(task, measured.incumbent, labels, ids - labels.keys()),
        agreed=frozenset(o.item for o in measured.candidate) - ids,
    )


def _queue(
    parts: GateParts,
    job: Context,
    subject: Subject,
    items: Sequence[Item],
    names: Mapping[str, str],
) -> LabelQueue:
    """The queue of a gate; its entry is durable before it is made."""
    made, wanted = queue_of(job.id), subject.wanted
    if not any(each.job == job.id for each in parts.labels.list()):
        by_id = {item.id: item for item in items}
        shown = [replace(by_id[item], id=name) for name, item in names.items()]
        tasks = [subject.loaded.task, *([subject.incumbent.task] if subject.incumbent else [])]
        offered = [
            label
            for task in tasks
            if isinstance(task.output, Labels)
            for label in task.output.labels
        ]
        fields: dict[str, Json] = {
            "action": "labels_new", "actor": job.actor, "job": job.id, "queue": made,
            "data": wanted.dataset, "items": len(shown), "raters": list(wanted.raters),
        }  # fmt: skip
        parts.audit.append(Draft("admin", fields)).result()
        parts.labels.create(made, wanted.dataset, shown, offered, wanted.raters, names, job.id)
    return parts.labels.get(made)


def _settled(parts: GateParts, queue: LabelQueue, items: int) -> dict[str, str]:
    """The label of each item that is left in a queue."""
    parts.labels.check(queue.name)
    work = queue.labelling
    left = work.differences() if work.compared else ()
    if work.compared and not left:
        return work.answers()
    told = ", ".join(f"{name} {count}" for name, count in work.done.items())
    raise Waits(
        "gate_labels_wanted",
        f"The two sides differ on {len(work.items)} of {items} items, which wait in the queue "
        f"{queue.name}; labelled: {told}" + (f"; {len(left)} are not settled." if left else "."),
    )


def close(parts: GateParts, job: Context) -> None:
    """Forget the queue of a gate that has its verdict, with its texts; may be done twice."""
    for queue in parts.labels.list():
        if queue.job == job.id:
            answers = json.dumps(queue.labelling.answers(), sort_keys=True).encode()
            fields: dict[str, Json] = {
                "action": "labels_taken", "actor": job.actor, "queue": queue.name,
                "answers": len(queue.labelling.items),
            }  # fmt: skip
            draft = Draft("admin", fields, {"answers": answers}, "commit-only")
            parts.audit.append(draft).result()
            gone: dict[str, Json] = {
                "action": "labels_remove",
                "actor": job.actor,
                "queue": queue.name,
            }
            parts.audit.append(Draft("admin", gone)).result()
            parts.labels.remove(queue.name)
