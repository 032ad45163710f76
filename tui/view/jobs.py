"""The jobs screen: running jobs, their progress, and the results of the rest.

Rules: the server says what a job allows; a bar is only where a total is known.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.jobs import JOB_TABLE, Job, JobProgress
from tui.chart import bar
from tui.columns import Column, cells, listed
from tui.text import Cell, cell, labelled, line, quiet, state
from tui.view.units import age, clock, count, duration, many, rate, since, size

COLUMNS: Final = (
    listed(JOB_TABLE, "ID", 5, right=True),
    listed(JOB_TABLE, "KIND", 8, drop=2),
    listed(JOB_TABLE, "STATE", 13),
    Column("PROGRESS", 18),
    Column("LEFT", 9, right=True, drop=3),
    Column("AGE", 6, right=True, drop=1),
    listed(JOB_TABLE, "WHAT", 0, least=10),
    Column("BY", 10, drop=4),
)
LIVE: Final = ("running", "pausing", "cancelling")
_BAR: Final = 12
"""Cells of a bar."""


def row(job: Job, now: float, *, ascii_only: bool) -> Sequence[Cell]:
    """One job."""
    drawn, aged = bar_of(job, ascii_only=ascii_only), age(since(job.created, now))
    own = {"PROGRESS": drawn, "LEFT": left(job), "AGE": aged, "BY": job.actor}
    return cells(COLUMNS, job, own)


def counted(noun: str, found: Sequence[Job], kept: int, *more: str) -> Content:
    """Write the counts."""
    running = sum(job.state in LIVE for job in found)
    told = [many(len(found), noun), f"{count(running)} running", *more]
    if kept != len(found):
        told.append(f"{count(kept)} shown")
    return line(*map(quiet, told))


def summary(jobs: Sequence[Job], kept: int) -> Content:
    """Write the counts."""
    running = sum(job.state in LIVE for job in jobs)
    waiting = sum(job.state == "queued" for job in jobs)
    told = [f"{count(running)} running", f"{count(waiting)} queued", f"{count(len(jobs))} in all"]
    if kept != len(jobs):
        told.append(f"{count(kept)} shown")
    return line(*map(quiet, told))


def detail(job: Job, now: float, width: int) -> list[Content]:
    """The job under the cursor."""
    until = f" to {clock(job.ended)}" if job.ended else f", {age(since(job.created, now))} ago"
    said = [
        line(cell(f"job {job.id}", "bold"), state(job.state), f"{job.kind} {job.title}"),
        *labelled("when", f"{clock(job.created)}{until}, by {job.actor}", width),
    ]
    if job.progress.phase:
        said += labelled("progress", amount(job.progress), width)
    if job.code and job.state != "done":
        said += labelled("why", f"{job.code}: {job.message}", width)
        said += labelled("next", job.hint, width)
    if job.result is not None:
        words = ", ".join(f"{name} {value}" for name, value in job.told.items())
        said += labelled("result", words, width)
    if job.state == "queued" and job.heavy:
        waits = "Jobs that need an engine run one at a time, and so do those that need none."
        said += labelled("why", waits, width)
    return said


def amount(told: JobProgress) -> str:
    """Write the amount and the speed, with units."""
    if told.unit == "bytes":
        done, total = size(told.done), size(told.total)
        pace = "" if told.rate is None else f", {told.rate / 2**20:.1f} MiB/s"
    else:
        done, total = count(told.done), count(told.total)
        pace = "" if told.rate is None else f", {rate(told.rate)} {told.unit}/s"
    if not told.total and not told.done:
        return told.phase
    known = f"{done} of {total}" if told.total else done
    return f"{told.phase}, {known}{pace}"


def bar_of(job: Job, *, ascii_only: bool) -> Cell:
    """Draw a job's progress where a total is known."""
    told = job.progress
    if job.state == "done" or not told.total:
        return "-" if job.state != "running" else told.phase
    percent = 100 * told.done // told.total
    return bar(told.done, told.total, _BAR, ascii_only=ascii_only) + f" {percent:3} %"


def left(job: Job) -> str:
    """Estimate the remaining time of a running job."""
    seconds = job.progress.seconds_left if job.state == "running" else None
    if seconds is None:
        return "-"
    return f"{seconds} s" if seconds < 60 else duration(seconds)
