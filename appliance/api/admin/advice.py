"""Routes of the advisor."""

import json
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path

from appliance.advisor import shelf
from appliance.advisor.options import joined, told
from appliance.advisor.questions import build
from appliance.advisor.report import page
from appliance.advisor.task_facts import gather
from appliance.advisor.verdict import advise, document
from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.audit.entry import Draft
from appliance.clock import iso
from appliance.evals.job import DIRECTORY as EVALUATIONS
from appliance.facts import TaskFacts
from appliance.jobs.kind import digest
from appliance.reports.page import render
from appliance.trust.statements.evaluation import GateCertificate
from appliance.types import Json
from appliance.wire.admin import advice as wire

router = Routes()
Task = Annotated[str, Path(pattern=wire.NAME)]


@router.serves(wire.ADVICE_LIST)
def list_advice(services: ServicesDep) -> wire.AdviceList:
    """The last advice for each task."""
    return wire.AdviceList(advice=shelf.every(services.data / shelf.DIRECTORY))


@router.serves(wire.ADVICE)
def last_advice(services: ServicesDep, task: Task) -> wire.Advice:
    """The last advice for a task."""
    return shelf.last(services.data / shelf.DIRECTORY, task)


@router.serves(wire.ADVISE)
def new_advice(person: PersonDep, services: ServicesDep, wanted: wire.AdviceWanted) -> wire.Advice:
    """Advise on a task, record the verdict, and keep the page."""
    questions = build(wanted.answers)
    now = services.clock.wall_us()
    directory = services.data / EVALUATIONS
    task = wanted.task or ""
    gates, needs = _gates(services, task)
    here = gather(directory, services.reader, task, services.routes.holding(task), gates, needs)
    facts = joined(here, told(questions))
    found = advise(questions, facts, datetime.fromtimestamp(now / 1e6, UTC).date())
    html = render(page(found, questions, facts, iso(now)))
    given = wire.Advice(
        task=wanted.task or shelf.ANY, created=iso(now), document=document(found), html=html
    )
    body: dict[str, Json] = {
        "action": "advice",
        "actor": person.actor,
        "task": given.task,
        "verdict": found.verdict,
        "result_sha256": digest(given.document.document),
    }
    texts = {"answers": json.dumps(wanted.answers, sort_keys=True).encode()}
    services.audit.append(Draft("admin", body, texts, "commit-only")).result()
    shelf.keep(services.data / shelf.DIRECTORY, given)
    return given


def _gates(services: Services, task: str) -> tuple[list[GateCertificate], str]:
    records = (each for each in services.store.inventory.records() if each.id == task)
    stored = next(records, None)
    if stored is None or stored.digest is None:
        return [], ""
    policy = services.policy()
    found = services.store.evaluations.of(stored.digest, policy)
    return found, (stored.facts.needs or "") if isinstance(stored.facts, TaskFacts) else ""
