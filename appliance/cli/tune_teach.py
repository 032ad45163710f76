"""`tune teach`: a larger model answers the unlabelled items of a dataset for a smaller one.

Rules: the person who begins it states the terms of the teacher's outputs; dropped items are shown
with the reason; nothing is signed here, and the given dataset does not change.
"""

from typing import Any, Final

import click

from appliance.cli.connect import connected
from appliance.cli.job import result_of, run_job
from appliance.cli.output import READ_THERE, Output, dataset_option, directory_option, safe
from appliance.client import AdminClient
from appliance.text import many, percent, within
from appliance.wire.admin.results import DatasetTaught

KIND: Final = "teach"


@click.command()
@click.argument("task", metavar="TASK_DIR", type=READ_THERE)
@dataset_option("Directory of the dataset. Its unlabelled items are answered.")
@click.option(
    "--teacher",
    metavar="ID",
    required=True,
    help="Model of the store, or approved upstream.",
)
@click.option(
    "--licence",
    default="",
    metavar="TEXT",
    help="Terms that allow training on its outputs. It is refused without.",
)
@click.option(
    "--shots",
    type=click.IntRange(0),
    default=8,
    show_default=True,
    help="Solved items of train that its prompt shows.",
)
@click.option(
    "--limit", type=click.IntRange(0), default=0, help="Most unlabelled items; 0 for all."
)
@click.option(
    "--held",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Most items of train that judge it.",
)
@click.option(
    "--least",
    type=click.FloatRange(0, 1),
    default=0.6,
    show_default=True,
    help="Least share that agrees with people.",
)
@connected(directory_option, needs_server=True)
def teach(output: Output, client: AdminClient, /, dataset: str, **given: Any) -> None:
    """Let a larger model label items.

    A dataset comes of the unlabelled items.
    """
    found = run_job(output, client, KIND, {**given, "data": dataset})
    result = result_of(output, found, DatasetTaught)
    output.data({"id": found.id, "state": found.state, **result.document}, told(result))
    output.note(f"  appliance dataset sign {safe(result.dataset)} --key KEY")


def told(result: DatasetTaught) -> list[str]:
    """The agreement, and how many answers were taken."""
    agreed = result.agreement
    lost = ", ".join(f"{count} {safe(why)}" for why, count in result.dropped.items())
    return [
        f"{safe(result.teacher.id)} agrees with people on {agreed.value:.3f} "
        f"({within(agreed.interval)}) of {many(agreed.items, 'item')} in "
        f"{many(agreed.groups, 'group')}",
        f"{result.taken} of {many(result.asked, 'answer')} are taken into train; "
        f"{percent(result.share_dropped)} dropped" + (f": {lost}" if lost else ""),
        f"terms: {safe(result.licence)}",
        f"dataset: {safe(result.dataset)}",
    ]
