"""`drift`: whether the requests of a task still are those that its evidence rests on.

Rules: a job of the server looks at weeks; the answer is first; what cannot be found is reported
with it.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from appliance.advisor import rehearsal
from appliance.cli.connect import connected
from appliance.cli.job import run_job
from appliance.cli.output import DIRECTORY, Output, json_option, page_option, safe, table
from appliance.client import AdminClient
from appliance.datasets import directory as datasets
from appliance.evals.parameters import OPEN
from appliance.text import many
from appliance.wire.admin.drift import DRIFT, DRIFT_REPORT, DRIFT_RESTART, Drift, Restart

_ALMOST: Final = 0.95
"""Share of the rehearsed watches that must cry."""


@click.group()
def drift() -> None:
    """Watch whether requests change."""


@drift.command()
@click.argument("task", metavar="TASK")
@connected()
def check(output: Output, client: AdminClient, task: str) -> None:
    """Look at the weeks that are over.

    Exit status 1 at an alarm.
    """
    done = run_job(output, client, "drift", {"task": task})
    if done.state != "done":
        output.data(done, [f"{done.state} {safe(done.code)} {safe(done.message)}"])
        output.require(False)
    found = client.call(DRIFT, task=task)
    _tell(output, found)
    output.require(found.document.state != "alarm")


@drift.command()
@click.argument("task", metavar="TASK")
@connected()
def show(output: Output, client: AdminClient, task: str) -> None:
    """Show what the last look found.

    And what cannot be found.
    """
    found = client.call(DRIFT, task=task)
    _tell(output, found)


@drift.command()
@click.argument("task", metavar="TASK")
@page_option
@connected()
def report(output: Output, client: AdminClient, task: str, out: Path) -> None:
    """Write the page of a task's weeks."""
    output.page(out, client.call(DRIFT_REPORT, task=task).html)


@drift.command()
@click.argument("task", metavar="TASK")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded.")
@connected()
def restart(output: Output, client: AdminClient, task: str, reason: str) -> None:
    """End an alarm; learn a new reference.

    It begins with the next week.
    """
    found = client.call(DRIFT_RESTART, Restart.of(reason=reason), task=task)
    _tell(output, found)


@drift.command()
@click.argument("path", metavar="DIR", type=DIRECTORY)
@click.option("--split", type=click.Choice(OPEN), default="train", show_default=True,
              help="The items that weeks are made of.")  # fmt: skip
@click.option("--against", type=click.Choice(OPEN), help="The split that requests become.")
@json_option
@click.pass_obj
def rehearse(output: Output, path: Path, split: str, against: str | None) -> None:
    """Say which changes would be found.

    Weeks are drawn from a dataset's directory; three then have twice the share of one answer, or
    come from another open split.
    """
    splits = datasets.read(path).splits
    other = splits.get(against, ()) if against else ()
    found = rehearsal.rehearse(splits.get(split, ()), other)
    rows = [
        (
            f"{each.requests:,}", _share(each.same), _share(each.doubled),
            "-" if each.other is None else _share(each.other),
        )
        for each in found
    ]  # fmt: skip
    enough = next((e.requests for e in found if e.doubled >= _ALMOST * rehearsal.RUNS), None)
    said = (
        f"From {many(enough, 'request')} a week on, twice as many of {found[0].answer!r} are found."
        if enough
        else f"With {many(found[-1].requests, 'request')} a week, twice as many of "
        f"{found[0].answer!r} are not found."
    )
    head = ("REQUESTS A WEEK", "NO CHANGE", "DOUBLED", "OTHER SPLIT")
    lines = [safe(said), *table(head, rows), "Real weeks differ more than these: find less."]
    output.data({"enough": enough, "rows": [asdict(each) for each in found]}, lines)


def _share(cried: int) -> str:
    return f"{100 * cried / rehearsal.RUNS:.0f} %"


def _tell(output: Output, found: Drift) -> None:
    told = found.document
    rows = [
        (
            f"last {each.window} weeks", safe(each.statistic), f"{each.size:.2f}",
            f"{100 * each.rank:.3g} %", f"{100 * each.level:.3g} %",
            "alarm" if each.alarm else "quiet",
        )
        for each in told.findings
    ]  # fmt: skip
    head = ("WINDOW", "DIFFERS MOST", "BY", "RANK", "ALARM AT", "STATE")
    lines = [safe(told.answer), *(table(head, rows) if rows else [])]
    lines += [f"do: {safe(each)}" for each in found.advice]
    lines += [f"promised: {found.promise}", *(f"not found: {each}" for each in found.blind)]
    document = {
        **told.document, "advice": found.advice, "promise": found.promise, "not_found": found.blind,
    }  # fmt: skip
    output.data(document, lines)
