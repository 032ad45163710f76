"""`eval`: measure every candidate of a task on the customer's own items.

Rules: an evaluation is a job of the server, so it continues when the command is left; sealed splits
cannot be named; the answer is first. A task or a dataset is the id of an approved artifact, or a
directory: what is a directory here or holds a slash.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from appliance.cli import gate
from appliance.cli.connect import admin_client, connected
from appliance.cli.job import finished, run_job, wait_option
from appliance.cli.output import Output, directory_option, page_option, prints, safe, table
from appliance.client import AdminClient
from appliance.errors import Refused
from appliance.text import many, percent, points, within, within_points
from appliance.wire.admin import evaluations as wire
from appliance.wire.admin.evaluations import Compared, CompareWanted, Errors, ErrorsWanted, Side
from appliance.wire.admin.jobs import JOB, JOBS, Job
from appliance.wire.admin.results import Estimated, EvaluationResult

KIND: Final = "evaluation"
_SHOWN: Final = 20
_LINES: Final = 3
"""Lines of an item's input that a list shows."""


@click.group("eval")
def eval() -> None:  # the command's name; the built-in is not used here
    """Evaluate candidates; certify a task."""


def place(_ctx: object, _param: object, value: str) -> str:
    """An id as it is; a directory as an absolute path, for the server."""
    path = Path(value)
    return str(path.resolve()) if "/" in value or path.is_dir() else value


@eval.command()
@click.argument("task", metavar="TASK", callback=place)
@click.option("--data", "dataset", metavar="DATASET", callback=place, required=True,
              help="The dataset: its id, or its directory.")  # fmt: skip
@click.option("--split", type=click.Choice(["train", "dev"]), default="dev", show_default=True,
              help="Which items. Sealed splits are for the gate.")  # fmt: skip
@click.option(
    "--models", default="", metavar="ID,ID", help="Further models that answer for the task."
)
@click.option("--baselines/--no-baselines", default=True, show_default=True,
              help="Measure the whole battery. Classifiers, other numbers of examples, and the "
                   "model without the form.")  # fmt: skip
@click.option("--packs", is_flag=True,
              help="Measure the models on packs. Questions, refusals and fixed texts.")  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(0), default=0, help="The first so many items; 0 for all."
)
@wait_option
@connected(directory_option, needs_server=True)
def run(
    output: Output, client: AdminClient, /, dataset: str, models: str, wait: bool, **given: Any
) -> None:
    """Measure candidates on an open split.

    The baselines, the task and other models. TASK and DATASET are ids of approved artifacts, or
    directories of drafts.
    """
    named = [name for name in models.split(",") if name]
    params = {**given, "data": dataset, "models": named}
    found = run_job(output, client, KIND, params, wait=wait)
    _tell(output, found)
    output.require(found.state == "done")


@eval.command("list")
@connected()
def list_(output: Output, client: AdminClient) -> None:
    """List evaluations and gates.

    The newest ones, with the verdicts of gates and the looks left.
    """
    found = [job for job in client.call(JOBS, count=1_000).jobs if job.kind in (KIND, gate.KIND)]
    found = [client.call(JOB, job_id=job.id) if _judged(job) else job for job in found]
    rows = [
        (str(job.id), job.kind, job.state, *gate.summary(job), job.created, safe(job.title))
        for job in found
    ]
    empty = ["No evaluations. Start one with `appliance eval run TASK --data DATASET`."]
    shown = {
        f"{kind}s": [job.model_dump() for job in found if job.kind == kind]
        for kind in (KIND, gate.KIND)
    }
    head = ("ID", "KIND", "STATE", "VERDICT", "POINTS", "LOOKS LEFT", "SINCE", "WHAT")
    output.data(shown, table(head, rows) if rows else empty)


def _judged(job: Job) -> bool:
    return (job.kind, job.state) == (gate.KIND, "done")


@eval.command()
@click.argument("job_id", metavar="[ID]", type=click.IntRange(1), required=False)
@connected()
def show(output: Output, client: AdminClient, job_id: int | None) -> None:
    """Show what an evaluation or gate found.

    Without ID the newest evaluation that is done.
    """
    found = client.call(JOB, job_id=job_id or _newest(client))
    if found.kind == gate.KIND:
        gate.tell(output, found)
        return
    if found.kind != KIND:
        raise Refused("report_missing", f"Job {found.id} is no evaluation.")
    _tell(output, found)


class _Side(click.ParamType["Side"]):
    """`ID` or `ID:CANDIDATE`."""

    name = "side"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Side:
        number, _, candidate = value.partition(":")
        if not number.isascii() or not number.isdigit() or not 1 <= int(number) < 1 << 53:
            self.fail(f"{value!r} is not ID or ID:CANDIDATE.", param, ctx)
        return Side.of(evaluation=int(number), candidate=candidate)


@eval.command()
@click.argument("first", metavar="ID[:CANDIDATE]", type=_Side())
@click.argument("second", metavar="ID[:CANDIDATE]", type=_Side())
@prints
def compare(output: Output, data: Path, first: Side, second: Side) -> None:
    """Compare two candidates, with the flips.

    The first minus the second, on the same items. Without a CANDIDATE it is the task as it is
    written.
    """
    wanted = CompareWanted.of(first=first.model_dump(), second=second.model_dump())
    with admin_client(data) as client:
        found = client.call(wire.EVALUATIONS_COMPARE, wanted)
    output.data(found, _compared(found))


@eval.command()
@click.argument("side", metavar="[ID[:CANDIDATE]]", type=_Side(), required=False)
@click.option("--expected", default="", metavar="LABEL", help="Items that expect this answer.")
@click.option("--answered", default="", metavar="LABEL", help="Items that were answered so.")
@click.option("--most", type=click.IntRange(1, 1_000), default=10, show_default=True,
              help="Most items to show.")  # fmt: skip
@connected()
def errors(
    output: Output, client: AdminClient, side: Side | None, expected: str, answered: str, most: int
) -> None:
    """Show wrong items, the surest wrong first.

    Without ID those of the newest evaluation, without a CANDIDATE of the task as it is written.
    Sealed items stay hidden from every role.
    """
    chosen = side or Side.of(evaluation=_newest(client))
    wanted = ErrorsWanted.of(side=chosen.model_dump(), expected=expected, answered=answered)
    found = client.call(wire.EVALUATION_ERRORS, wanted)
    output.data(found, _wrong(found, most))


@eval.command()
@click.argument("job_id", metavar="[ID]", type=click.IntRange(1), required=False)
@page_option
@connected()
def report(output: Output, client: AdminClient, job_id: int | None, out: Path) -> None:
    """Write an evaluation's page as HTML.

    Without ID of the newest that is done.
    """
    output.page(out, client.call(wire.EVALUATION_REPORT, job_id=job_id or _newest(client)).html)


def _compared(found: Compared) -> Iterator[str]:
    yield (
        f"{safe(found.first)} minus {safe(found.second)}: {points(found.difference)} points, "
        f"95 % {within_points(found.interval)} ({many(found.groups, 'group')}, "
        f"{many(found.items, 'item')})"
    )
    yield (
        f"only the first is right on {many(found.gained, 'item')}, only the second on "
        f"{found.lost}; "
        f"McNemar p = {found.p_value:.3g}, which counts items as if they were independent"
    )
    for flip in found.flips[:_SHOWN]:
        yield f"{safe(flip.item)}: expected {safe(flip.expected)}; the {flip.right} is right"
        yield f"  first: {safe(flip.first)}; second: {safe(flip.second)}"
        yield from _quoted(flip.input)
    if len(found.flips) > _SHOWN:
        yield f"{len(found.flips) - _SHOWN} more with --json"
    yield from _unread(found.unread)


def _wrong(found: Errors, most: int) -> Iterator[str]:
    yield (
        f"{safe(found.candidate)} on {found.split}: {found.wrong} of {many(found.items, 'item')}"
        f" wrong ({percent(found.wrong / found.items)}), {found.kept} match the filter"
    )
    rows = [(safe(c.expected), safe(c.answered), str(c.items)) for c in found.confused[:most]]
    if rows:
        yield from table(("EXPECTED", "ANSWERED", "ITEMS"), rows)
    for each in found.shown[:most]:
        sure = "" if each.confidence is None else f", confidence {each.confidence:.3f}"
        yield f"{safe(each.item)}: {safe(each.expected)}, answered {safe(each.answered)}{sure}"
        yield from _quoted(each.input)
    if found.kept > most:
        yield f"{found.kept - most} more with --most"
    yield from _unread(found.unread)


def _quoted(text: str) -> Iterator[str]:
    yield from (f"    {safe(part)}" for part in text.splitlines()[:_LINES])


def _unread(reason: str) -> Iterator[str]:
    if reason:
        yield f"no inputs: {safe(reason)}"


def _newest(client: AdminClient) -> int:
    for job in finished(client, KIND):
        return job.id
    raise Refused("report_missing", "No evaluation is done.")


def _tell(output: Output, found: Job) -> None:
    result = found.came_to(EvaluationResult)
    if result is None:
        lines = [f"evaluation {found.id}: {found.state} {safe(found.message)}".rstrip()]
        output.data({"id": found.id, "state": found.state, "code": found.code}, lines)
        return
    rows = [
        (
            safe(row.name),
            f"{row.quality:.3f}",
            within(row.interval),
            "-" if row.wrong is None else str(row.wrong),
            f"{row.documents_s:.3g}",
            f"{row.p95_s:.3g} s",
            str(sum(row.failures.values())),
        )
        for row in sorted(result.candidates, key=lambda row: -row.quality)
    ]
    head = ("CANDIDATE", "QUALITY", "95 %", "WRONG", "DOCUMENTS/S", "P95", "FAILURES")
    groups = result.candidates[0].groups
    facts = (
        f"{result.metric} on {result.split}: {many(result.items, 'item')}; QUALITY weights its"
        f" {many(groups, 'group')} alike, WRONG counts items"
    )
    notes = [f"note: {safe(note)}" for note in result.notes]
    more = [*_levels(result), *_evidence(result), *_packs(result)]
    lines = [safe(result.answer), facts, *table(head, rows), *more, *notes]
    output.data({"id": found.id, "state": found.state, **found.told}, lines)
    output.note(f"  appliance eval report {found.id} --out report.html")


def _evidence(result: EvaluationResult) -> Iterator[str]:
    if (found := result.retrieval) is not None:
        yield (
            f"search of {safe(found.collection)} by {safe(found.ranking or 'nothing')}, "
            f"{many(found.questions, 'question')}: nDCG@10 {_share(found.ndcg_10)}, recall@10 "
            f"{_share(found.recall_10)}, of the {many(found.passages, 'passage')} that a model is "
            f"given {_share(found.recall_given)}"
        )
    for row in result.candidates:
        if row.evidence is None:
            continue
        told = f"{safe(row.name)}: evidence in {_share(row.evidence)} of its answers"
        for words, share in (
            ("quotations that verify", row.verified),
            ("of these from a relevant document", row.citation_precision),
        ):
            if share is not None:
                told += f"; {words} {_share(share)}"
        yield told


def _share(estimate: Estimated) -> str:
    return f"{estimate[0]:.3f} ({within(estimate[1:])})"


def _levels(result: EvaluationResult) -> Iterator[str]:
    for row in result.candidates:
        if levels := row.levels:
            told = ", ".join(f"{safe(name)} {_share(e)}" for name, e in levels.items())
            yield f"{safe(row.name)}: {told}"


def _packs(result: EvaluationResult) -> Iterator[str]:
    for model, packs in result.packs.items():
        for pack, one in (("general", packs.general), ("refusals", packs.refusals)):
            told = f"{one.quality:.3f} ({within(one.interval)}), {many(one.items, 'item')}"
            yield f"{safe(model)}, {pack}: {told}"
        for language, text in packs.frozen.items():
            nats = f"{text.nats_per_token:.4f} nats a token"
            yield f"{safe(model)}, frozen text {language}: {nats}"


for _command in gate.COMMANDS:
    eval.add_command(_command)
