"""The facts of this appliance: its newest evaluation of a task, the arrivals in its log, its host.

Rules: only what was measured here; an evaluation whose result cannot be read is no fact; the log is
read from its newest entries on, and at most `MOST_ANSWERS` of them; what the appliance asked
itself, to evaluate or to test, is no arrival.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from appliance.advisor.measured import (
    Arrivals,
    Candidate,
    Certified,
    Facts,
    arrivals,
    cascade,
    from_evaluation,
    own,
)
from appliance.audit.reader import LogReader
from appliance.audit.search import MAX_LIMIT, Query
from appliance.evals.store import RESULT
from appliance.host.hardware import total_memory
from appliance.serving.inference import OWN
from appliance.trust import route

MOST_ANSWERS: Final = 50_000


def gather(
    evaluations: Path, reader: LogReader, task: str, routes: Sequence[route.Certificate] = ()
) -> Facts:
    """What is known of a task; "" for what holds of every one. Blocks.

    Args:
        routes: certificates that let the task answer first, those that hold now.
    """
    newest = newest_result(evaluations, task) if task else None
    facts = Facts(task=task) if newest is None else from_evaluation(newest[1])
    if newest is not None:
        facts = replace(facts, made_of=(("evaluation", str(newest[0])), *facts.made_of))
        small = own(newest[1])
        if small is not None and routes:
            latest = max(routes, key=lambda each: each.circumstances.issued_us)
            facts = _with_cascade(facts, evaluations, certified_by(latest), small)
    return replace(
        facts,
        task=task,
        arrivals=trace(reader, task) if task else None,
        host_memory=total_memory(),
    )


def certified_by(signed: route.Certificate) -> Certified:
    """What the advisor reads of a route's certificate."""
    wanted, found = signed.wanted, signed.found
    return Certified(
        route=wanted.route,
        id=signed.id,
        larger=wanted.larger,
        coverage=found.coverage_micros / route.MILLION,
        limit=wanted.error_micros / route.MILLION,
        groups=found.groups,
        rest=found.doubtful,
        low=None if found.low_micros is None else found.low_micros / route.MILLION,
    )


def _with_cascade(facts: Facts, evaluations: Path, found: Certified, small: Candidate) -> Facts:
    """The facts with the cascade of a route."""
    second = newest_result(evaluations, found.larger) if found.larger else None
    made = cascade(found, small, None if second is None else own(second[1]))
    sources = [("route certificate", found.id)]
    if second is not None and found.rest == "larger":
        sources.append((f"evaluation of {found.larger}", str(second[0])))
    return replace(facts, candidates=(*facts.candidates, made), made_of=(*facts.made_of, *sources))


def newest_result(evaluations: Path, task: str) -> tuple[int, dict[str, Any]] | None:
    """The number and the result of the newest evaluation of a task; None where there is none."""
    numbers = [int(path.name) for path in evaluations.glob("*") if path.name.isdecimal()]
    for number in sorted(numbers, reverse=True):
        try:
            found = json.loads((evaluations / str(number) / RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get("task") == task and found.get("candidates"):
            return number, found
    return None


def trace(reader: LogReader, task: str) -> Arrivals | None:
    """When requests of a task came, by the log; None where none did."""
    return arrivals(_answered(reader, task))


def _answered(reader: LogReader, task: str) -> Iterator[tuple[int, int]]:
    before, left = None, MOST_ANSWERS
    while left > 0:
        page = reader.search(
            Query(
                kind="outcome",
                model=task,
                before=before,
                newest_first=True,
                limit=min(MAX_LIMIT, left),
            )
        )
        for entry in page.entries:
            if entry.body.get("key_id") in OWN:
                continue
            took = entry.body.get("duration_us")
            yield entry.time_us, took if isinstance(took, int) else 0
        left -= len(page.entries)
        before = page.resume
        if before is None:
            return
