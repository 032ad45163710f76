"""`appliance queue`: what no stage of a route answered, and waits for a person.

Rule: texts of apps are shown as data, on one line, without control characters.
"""

import json
from pathlib import Path
from typing import Any

import click

from appliance.cli.connect import admin_client, connected
from appliance.cli.output import OUT, Output, prints, safe, state, table
from appliance.client import AdminClient
from appliance.errors import StateRefused
from appliance.wire.admin import queue as wire
from appliance.wire.admin.queue import Waiting


@click.group()
def queue() -> None:
    """Requests that wait for a person."""


@queue.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what has ended.")
@click.option("--task", metavar="NAME", help="Only of this task or route.")
@connected()
def list_items(output: Output, client: AdminClient, everything: bool, task: str | None) -> None:
    """List what waits, the nearest deadline first."""
    found = client.call(wire.QUEUE, everything=everything, task=task)
    rows = [
        (one.id, state(one.state), safe(one.task), safe(one.app), one.deadline, _input(one))
        for one in found.items
    ]
    head = ("ID", "STATE", "TASK", "APP", "DEADLINE", "INPUT")
    output.data(
        found,
        table(head, rows)
        if rows
        else ['No items. Routes with `on_defer = "queue"` put them here.'],
    )


@queue.command("show")
@click.argument("item", metavar="ID")
@connected()
def show(output: Output, client: AdminClient, item: str) -> None:
    """Show one item that waits.

    Its input, why it waits, and the form of an answer.
    """
    found = client.call(wire.QUEUE_ITEM, item_id=item)
    output.data(found, _lines(found))


@queue.command("answer")
@click.argument("item", metavar="ID")
@click.argument("answer", metavar="ANSWER")
@connected()
def answer(output: Output, client: AdminClient, item: str, answer: str) -> None:
    """Answer an item.

    With a label or a text, or JSON where the task answers in fields.
    """
    wanted: Any = answer
    if client.call(wire.QUEUE_ITEM, item_id=item).form is not None:
        try:
            wanted = json.loads(answer)
        except ValueError as error:
            raise click.UsageError(f"ANSWER is no JSON: {error}") from error
    found = client.call(wire.QUEUE_ANSWER, wire.QueueAnswer.of(answer=wanted), item_id=item)
    output.data(found, _lines(found))


@queue.command("labels")
@click.argument("task", metavar="NAME")
@click.option("--out", type=OUT, required=True, metavar="FILE", help="JSON lines; must not exist.")
@prints
def labels(output: Output, data: Path, task: str, out: Path) -> None:
    """Write the answers as labelled items.

    Of one task, for `dataset new --from FILE`.
    """
    if out.exists():
        raise StateRefused("data_exists", f"{out} exists.")
    with admin_client(data) as client:
        found = client.call(wire.QUEUE_LABELS, wire.QueueTask.of(task=task))
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in found.items]
    output.file(out, "".join(lines))
    left = f", {found.left_out} could not be items" if found.left_out else ""
    output.data(found, [f"{len(found.items)} labelled items in {out}{left}"])


def _input(item: Waiting) -> str:
    return safe(json.dumps(item.input, ensure_ascii=False))[:80]


def _lines(item: Waiting) -> list[str]:
    wanted = ", ".join(map(safe, item.labels)) or (
        "a JSON object of the schema" if item.form is not None else "a text"
    )
    lines = [
        f"{item.id} {state(item.state)} until {item.deadline}",
        f"task:    {safe(item.task)} (app {safe(item.app)}, request {safe(item.request_id)})",
        f"because: {safe(item.reason)}",
        f"answer:  {wanted}",
    ]
    lines += [f"  {safe(name)}: {safe(str(value))}" for name, value in item.input.items()]
    if item.actor is not None:
        said = safe(json.dumps(item.answer, ensure_ascii=False))
        lines.append(f"answered by {safe(item.actor)}: {said}")
    return lines
