"""The facts of this appliance: a task's evidence, the arrivals in its log, its host.

Rules: only measurements of this appliance; the log is read from its newest entries on, and at most
`MOST_ANSWERS` of them; the appliance's own requests, for evaluations or tests, are no arrivals.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from appliance.advisor.options import (
    MeasuredFacts,
    RequestTimes,
    arrivals,
    candidate,
    cascade,
    of_evidence,
)
from appliance.audit.reader import LogReader
from appliance.audit.search import MAX_LIMIT, Query
from appliance.evals import evidence_reader
from appliance.evals.evidence_reader import CertifiedRoute, Contender
from appliance.evals.store import newest_result
from appliance.host.hardware import total_memory
from appliance.serving.inference import OWN
from appliance.trust.statements import evaluation, route

MOST_ANSWERS: Final = 50_000


def gather(
    evaluations: Path,
    reader: LogReader,
    task: str,
    routes: Sequence[route.RouteCertificate] = (),
    gates: Sequence[evaluation.GateCertificate] = (),
    needs: str = "",
) -> MeasuredFacts:
    """Of a task; "" for facts of every task. Blocks.

    Args:
        routes: valid certificates that let the task answer first.
        gates: gates' findings of the task as it is stored.
        needs: the model of the task's candidate; "" for a classifier only.
    """
    newest = newest_result(evaluations, task) if task else None
    found, sources = evidence_reader.TaskEvidence(task), []
    if newest is not None:
        found = evidence_reader.of_evaluation(newest[1])
        sources.append(("evaluation", str(newest[0])))
    if gates:
        gate = max(gates, key=lambda each: each.circumstances.issued_us)
        found = evidence_reader.with_gate(found, gate, needs)
        said = f"{gate.found.verdict} on {gate.found.groups} sealed groups, {gate.id[:16]}"
        sources.append((f"gate of {gate.wanted.split}", said))
    facts = of_evidence(found)
    facts = replace(facts, made_of=(*sources, *facts.made_of))
    if found.own is not None and routes:
        latest = max(routes, key=lambda each: each.circumstances.issued_us)
        facts = _with_cascade(facts, evaluations, evidence_reader.of_route(latest), found.own)
    return replace(
        facts,
        task=task,
        arrivals=trace(reader, task) if task else None,
        host_memory=total_memory(),
    )


def _with_cascade(
    facts: MeasuredFacts, evaluations: Path, found: CertifiedRoute, small: Contender
) -> MeasuredFacts:
    second = newest_result(evaluations, found.larger) if found.larger else None
    larger = None if second is None else evidence_reader.of_evaluation(second[1]).own
    made = cascade(
        found, candidate("own", small), None if larger is None else candidate("own", larger)
    )
    sources = [("route certificate", found.id)]
    if second is not None and found.rest == "larger":
        sources.append((f"evaluation of {found.larger}", str(second[0])))
    return replace(facts, candidates=(*facts.candidates, made), made_of=(*facts.made_of, *sources))


def trace(reader: LogReader, task: str) -> RequestTimes | None:
    """By the log; None without any."""
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
