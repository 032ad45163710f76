"""Routes of datasets: items made of apps' requests, and what saw items.

Rules: an admin reads prompts, of keys whose owners agreed; reading is recorded first.
"""

import asyncio
import json
from functools import cache
from typing import Final

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.api.admin.times import microseconds
from appliance.app import Services
from appliance.audit.entry import Draft
from appliance.audit.search import Query
from appliance.datasets import capture, directory
from appliance.datasets.items import Item
from appliance.datasets.personal_data import mask
from appliance.errors import AuditRefused, DatasetRefused, Refused
from appliance.evals.exposure import seen
from appliance.evals.gate import GateJob
from appliance.evals.job import DIRECTORY, EvaluationJob
from appliance.types import Json
from appliance.wire.admin import datasets as wire

router = Routes()
_MOST_JOBS: Final = 1_000


@router.serves(wire.CAPTURE)
def capture_items(person: PersonDep, services: ServicesDep, wanted: wire.Capture) -> wire.Captured:
    """The prompts of a key, as unlabelled items."""
    key = services.keys.get(wanted.key_id)
    if not key.examples:
        raise DatasetRefused("examples_not_agreed", f"The key {key.name} has no such consent.")
    page = services.reader.search(
        Query(
            kind="intent",
            key_id=key.id,
            after=wanted.after,
            since_us=None if wanted.since is None else microseconds(wanted.since, "since"),
            until_us=None if wanted.until is None else microseconds(wanted.until, "until"),
            limit=wanted.limit,
        )
    )
    items: list[Item] = []
    read: list[Json] = []
    answers: dict[str, str] = {}
    for entry in page.entries:
        try:
            prompt = services.reader.content(entry.seq, "prompt")
        except AuditRefused as error:
            if error.code != "content_unavailable":
                raise
            continue  # erased, or never kept
        read.append(entry.seq)
        found = capture.item(
            str(entry.body["request_id"]),
            key.name,
            entry.time_us,
            prompt,
            grouping=wanted.group,
            masks=wanted.mask,
        )
        if found is None:
            continue
        items.append(found)
        if wanted.answers and (told := _answer(services, found.id, key.id)) is not None:
            seq, text = told
            read.append(seq)
            answers[found.id] = mask(text) if wanted.mask else text
    if read:
        deed = Draft.deed(
            "content_read", person.actor, key_id=key.id, entries=read, purpose="dataset"
        )
        services.audit.append(deed).result()
    return wire.Captured(
        items=[json.loads(item.line()) for item in items],
        left_out=len(page.entries) - len(items),
        next_after=page.resume,
        answers=answers,
    )


def _answer(services: Services, request_id: str, key_id: str) -> tuple[int, str] | None:
    """A request's answer and its outcome's number; None where it was not kept."""
    _, outcome = services.reader.find_request(request_id, key_id)
    if outcome is None:
        return None
    try:
        text = services.reader.content(outcome.seq, "completion")
    except AuditRefused as error:
        if error.code != "content_unavailable":
            raise
        return None
    return outcome.seq, text.decode("utf-8", "replace")


@router.serves(wire.SEEN)
async def seen_items(services: ServicesDep, wanted: wire.SeenWanted) -> wire.SeenList:
    """The evaluations and gates that asked items, or learned from them."""
    known = {
        shown.job.id: shown.job.params
        for shown in await services.jobs.newest(_MOST_JOBS)
        if shown.job.kind in (EvaluationJob.name, GateJob.name)
    }

    @cache
    def train_of(dataset: str) -> frozenset[str] | None:
        try:
            with services.store.inventory.open(dataset) as artifact:
                found = directory.read_artifact(artifact)
        except Refused:
            return None
        return frozenset(item.id for item in found.splits.get("train", ()))

    place = services.data / DIRECTORY
    found = await asyncio.to_thread(
        seen, place, known.get, wanted.ids, wanted.data, wanted.trained, train_of
    )
    return wire.SeenList(seen=[wire.SeenBy(**each._asdict()) for each in found])
