"""Routes of drift: a task's weeks, their page, and restarting the watch."""

import contextlib
from typing import Annotated

from fastapi import Path

from appliance.advisor import shelf, watch
from appliance.advisor.costs import Percentiles
from appliance.advisor.drift import BLIND, PROMISE, Watch, advice
from appliance.advisor.drift_report import page
from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.audit.entry import Draft
from appliance.clock import iso
from appliance.errors import Refused
from appliance.evals import evidence_reader
from appliance.evals.job import DIRECTORY as EVALUATIONS
from appliance.evals.store import newest_result
from appliance.reports.page import render
from appliance.wire.admin import drift as wire
from appliance.wire.admin.advice import NAME, AdviceDocument

router = Routes()
Task = Annotated[str, Path(pattern=NAME)]


@router.serves(wire.DRIFT)
def show(services: ServicesDep, task: Task) -> wire.Drift:
    """Show a task's weeks."""
    return _shown(services, task)


@router.serves(wire.DRIFT_REPORT)
def report(services: ServicesDep, task: Task) -> wire.DriftReport:
    """The page of a task's weeks."""
    found = watch.load(services.data / watch.DIRECTORY, task)
    made = page(found, _advice(services, found), iso(services.clock.wall_us()))
    return wire.DriftReport(html=render(made))


@router.serves(wire.DRIFT_RESTART)
def restart(
    person: PersonDep, services: ServicesDep, task: Task, wanted: wire.Restart
) -> wire.Drift:
    """Learn a new reference from the next week on; recorded before."""
    directory = services.data / watch.DIRECTORY
    watch.load(directory, task)
    draft = Draft.deed("drift_restart", person.actor, task=task, reason=wanted.reason)
    services.audit.append(draft).result()
    watch.begin_again(directory, task, services.clock.wall_us())
    return _shown(services, task)


def _shown(services: Services, task: str) -> wire.Drift:
    found = watch.load(services.data / watch.DIRECTORY, task)
    return wire.Drift(
        document=watch.result(found),
        advice=list(_advice(services, found)),
        promise=PROMISE,
        blind=list(BLIND),
    )


def _advice(services: Services, found: Watch) -> tuple[str, ...]:
    newest = newest_result(services.data / EVALUATIONS, found.task)
    curve = () if newest is None else evidence_reader.of_evaluation(newest[1]).curve
    price, currency = None, ""
    with contextlib.suppress(Refused):
        given = shelf.last(services.data / shelf.DIRECTORY, found.task).document
        if isinstance(given, AdviceDocument):
            labels, currency = given.retraining, given.currency
            price = None if labels is None else Percentiles(labels.p10, labels.p50, labels.p90)
    return advice(found, curve, price, currency)
