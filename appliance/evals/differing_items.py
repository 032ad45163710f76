"""Labels for a comparison, from people, for the sealed items on which the two sides differ only.

Rules:
- An item with the same answer on both sides is a difference of 0 whatever its label is, so that the
  interval is the one that all labels would give.
- The queue has items under its own names, in a drawn order; no entry joins these names to those of
  the answers.
- Only the gate gets the labels; then the queue is deleted with its texts.
- An item that was erased while it waited counts on neither side.
"""

import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Final

from appliance.audit.log import Draft
from appliance.datasets.items import Item
from appliance.datasets.label_queues import StoredLabelQueue
from appliance.datasets.labelling import check_labels, check_raters
from appliance.errors import PolicyRefused
from appliance.evals import scoring
from appliance.evals.gate_outcomes import GateMeasured
from appliance.evals.gate_subject import GateSubject
from appliance.evals.outcomes import Outcome
from appliance.jobs.kind import Context, Waits
from appliance.looks.lost_items import ERASED, OURS
from appliance.looks.subject import LookParts
from appliance.tasks.definition import LabelForm, Task
from appliance.tasks.metrics import METRICS
from appliance.types import Json

_QUEUE: Final = "queue"
"""The name of the queue in the checkpoint, once it is made."""


def check_terms(subject: GateSubject) -> None:
    """Refuse terms that labels of differing items cannot show, before the look.

    Raises:
        PolicyRefused: `specification_other`.
        DatasetRefused: `label_unknown`, `rater_invalid`.
    """
    if not all(isinstance(task.output, LabelForm) for task in _tasks(subject)):
        raise PolicyRefused("specification_other", "Only answers that are labels are compared so.")
    metric = METRICS[subject.loaded.task.gate.metric]
    if metric.ranked:  # sides that answer alike may rank otherwise
        raise PolicyRefused("specification_other", f"{metric.name} needs every item's label.")
    check_labels(_offered(subject))
    check_raters(subject.signed.said.raters)


def _tasks(subject: GateSubject) -> list[Task]:
    return [subject.loaded.task, *([subject.incumbent.task] if subject.incumbent else [])]


def _offered(subject: GateSubject) -> list[str]:
    forms = [task.output for task in _tasks(subject)]
    return [label for form in forms if isinstance(form, LabelForm) for label in form.labels]


def differing(candidate: Sequence[Outcome], incumbent: Sequence[Outcome]) -> list[str]:
    """Items that both sides answer, differently."""
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
    """Outcomes with these labels, without gone items."""
    return tuple(
        replace(one, answer=None, micros=0, failure=ERASED)
        if one.item in gone
        else _scored(task, one, labels.get(one.item, ""))
        for one in outcomes
    )


def _scored(task: Task, one: Outcome, label: str) -> Outcome:
    right = scoring.score(task, label, one.answer) if label else 0.0
    return replace(one, expected=label, micros=round(right * 1e6))


def queue_of(parts: LookParts, job: int) -> StoredLabelQueue | None:
    """The gate's queue; None before it is made, and once it is deleted."""
    return next((queue for queue in parts.labels.list() if queue.job == job), None)


def removed(parts: LookParts, job: Context) -> bool:
    """True if made and gone: another would bring back erased texts."""
    return _QUEUE in (job.checkpoint or {}) and queue_of(parts, job.id) is None


def alias(key: bytes, item: str) -> str:
    """The queue's unique name of an item."""
    return hmac.new(key, b"label\0" + item.encode(), "sha256").hexdigest()[:32]


def with_labels(
    parts: LookParts,
    job: Context,
    subject: GateSubject,
    items: Sequence[Item],
    measured: GateMeasured,
    key: bytes,
) -> GateMeasured:
    """The first call makes the queue.

    Raises:
        Waits: `gate_labels_wanted` while labels are missing.
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
    parts: LookParts,
    job: Context,
    subject: GateSubject,
    items: Sequence[Item],
    names: Mapping[str, str],
) -> StoredLabelQueue:
    """Made the first time; its entry is durable before."""
    wanted = subject.signed.said
    if (found := queue_of(parts, job.id)) is None:
        by_id = {item.id: item for item in items}
        shown = [replace(by_id[item], id=name) for name, item in names.items()]
        made = _free(f"gate-{job.id}", [queue.name for queue in parts.labels.list()])
        parts.record(job, "labels_new", {
            "queue": made, "data": wanted.dataset, "items": len(shown),
            "raters": list(wanted.raters),
        })  # fmt: skip
        offered = _offered(subject)
        parts.labels.create(made, wanted.dataset, shown, offered, wanted.raters, names, job.id)
        found = parts.labels.get(made)
    job.save({**(job.checkpoint or {}), _QUEUE: found.name})
    return found


def _free(name: str, taken: Collection[str]) -> str:
    others = (f"{name}-{number}" for number in count(2))
    return next(each for each in chain([name], others) if each not in taken)


def _settled(parts: LookParts, queue: StoredLabelQueue, items: int) -> dict[str, str]:
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


def close(parts: LookParts, job: Context) -> None:
    """Record the used labels, and delete their queue. Idempotent."""
    if (queue := queue_of(parts, job.id)) is not None:
        answers = json.dumps(queue.labelling.answers(), sort_keys=True).encode()
        fields: dict[str, Json] = {
            "action": "labels_taken", "actor": job.actor, "queue": queue.name,
            "answers": len(queue.labelling.items),
        }  # fmt: skip
        draft = Draft("admin", fields, {"answers": answers}, "commit-only")
        parts.audit.append(draft).result()
        forget(parts, job)


def forget(parts: LookParts, job: Context) -> None:
    """Delete a finished gate's queue with its texts. Idempotent."""
    if (queue := queue_of(parts, job.id)) is not None:
        parts.audit.append(Draft.deed("labels_remove", job.actor, queue=queue.name)).result()
        parts.labels.remove(queue.name)
