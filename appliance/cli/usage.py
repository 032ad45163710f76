"""`usage`: use by app, person, cost centre, task or model; derived from the audit log."""

import csv
import io
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, get_args

import click

from appliance.cli.connect import connected
from appliance.cli.output import Output, safe
from appliance.client import AdminClient
from appliance.text import many, spreadsheet_cell
from appliance.types import UsedBy, UsedPer
from appliance.wire.admin.metering import USAGE, USAGE_TABLE, UsageReport, UsageRow

_SHOWN: Final[dict[str, Callable[[UsageRow], float]]] = {
    "requests": lambda row: row.requests,
    "tokens": lambda row: row.prompt_tokens + row.completion_tokens,
    "seconds": lambda row: row.seconds,
}
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


@click.command()
@click.option(
    "--by", type=click.Choice(get_args(UsedBy)), default="app", show_default=True, help="Of whom."
)
@click.option(
    "--per", type=click.Choice(get_args(UsedPer)), default="day", show_default=True,
    help="Length of the periods, in UTC.",
)  # fmt: skip
@click.option("--since", metavar="TIME", help="The hour of this time and later; ISO 8601, UTC.")
@click.option("--until", metavar="TIME", help="The hour of this time and earlier.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--chart", type=click.Choice(list(_SHOWN)), help="Draw bars of these.")
@connected()
def usage(
    output: Output, client: AdminClient, /, as_csv: bool, chart: str | None, **given: Any
) -> None:
    """Show usage by app, person, task or model.

    SECONDS is the answers' time without waiting: the cost of tasks whose answers have no tokens. A
    cost centre is of a person's group in appliance.toml.
    """
    found = client.call(USAGE, **given)
    if found.left:
        output.note(f"Counting {many(found.left, 'entry')} of the log first.")
    while found.left:
        found = client.call(USAGE, **given)
    if as_csv:
        output.data(found, csv_lines(found))
    elif chart is not None and found.rows:
        output.data(found, bars(found.rows, _SHOWN[chart], _columns()))
    else:
        output.listing(found, found.rows, USAGE_TABLE)
    output.note(f"The counts are complete since {found.known}.")


def csv_lines(found: UsageReport) -> Iterator[str]:
    """Each row as a line of CSV, below a head."""
    for cells in (tuple(UsageRow.model_fields), *(vars(row).values() for row in found.rows)):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(map(spreadsheet_cell, cells))
        yield line.getvalue()


def bars(
    rows: Sequence[UsageRow], shown: Callable[[UsageRow], float], columns: int
) -> Iterator[str]:
    """Bars, the longest as wide as the words leave."""
    words = [f"{row.period}  {safe(row.name) or '-'}" for row in rows]
    values = [f"{shown(row):,.0f}" for row in rows]
    left, right = max(map(len, words)), max(map(len, values))
    most = max(map(shown, rows)) or 1
    room = max(8, columns - left - right - 4)
    for row, word, value in zip(rows, words, values, strict=True):
        whole, rest = divmod(round(8 * room * shown(row) / most), 8)
        bar = "█" * whole + _EIGHTHS[rest].strip()
        yield f"{word.ljust(left)}  {value.rjust(right)}  {bar}".rstrip()


def _columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
