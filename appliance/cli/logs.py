"""`logs`: what the server says of itself.

Rules: a running server is asked, so that a role is enough; without one the file is read, without
the lock of the data directory. With `--follow --json` each line is one object.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from appliance.cli.connect import server_answers
from appliance.cli.output import Output, prints, safe, state
from appliance.client import AdminClient, socket_path
from appliance.config import load_config
from appliance.errors import ServerUnreachable
from appliance.observability import log_file
from appliance.wire.admin.logs import LEVELS, LOGS, LogLine, LogPage, LogQuery

_SECONDS_BETWEEN = 1.0


@click.command()
@click.option("-n", "limit", type=click.IntRange(1, 1_000), default=200, help="Most lines.")
@click.option(
    "--level", type=click.Choice(LEVELS), default="info", show_default=True, help="And above."
)
@click.option("--grep", "text", metavar="TEXT", help="Only lines with this in them.")
@click.option("--after", metavar="ID", help="Only lines after the one with this id.")
@click.option("-f", "--follow", is_flag=True, help="Go on until ctrl-c.")
@prints
def logs(output: Output, /, data: Path, follow: bool, **conditions: str | int | None) -> None:
    """Show the server's log lines.

    Also when it does not run.
    """
    load_config(data)  # says when this is no data directory
    query = LogQuery.of(**conditions)
    found = page(data, query)
    if not follow:
        note = (
            []
            if found.lines
            else [f"No lines in {safe(found.file)}. `appliance serve` writes them."]
        )
        output.data(found, [*map(_line, found.lines), *note])
        return
    while True:
        _print(output, found.lines)
        if found.lines:
            query = query.model_copy(update={"after": found.lines[-1].id})
        time.sleep(_SECONDS_BETWEEN)
        found = page(data, query)


def page(data: Path, query: LogQuery) -> LogPage:
    """Lines of the server, or of the file."""
    if server_answers(data):
        try:
            with AdminClient(socket_path(data)) as client:
                return client.call(LOGS, query)
        except ServerUnreachable:  # it ended just now
            pass
    found = log_file.read(
        data, level=query.level, text=query.text or "", after=query.after, limit=query.limit
    )
    lines = [LogLine(**asdict(line)) for line in found]
    return LogPage(lines=lines, file=str(log_file.log_file(data)))


def _print(output: Output, lines: Iterable[LogLine]) -> None:
    for line in lines:
        click.echo(line.model_dump_json() if output.as_json else _line(line))


def _line(line: LogLine) -> str:
    told = " ".join(f"{safe(name)}={safe(value)}" for name, value in line.fields.items())
    return f"{safe(line.time)} {state(line.level):<12} {safe(line.message)} {told}".rstrip()
