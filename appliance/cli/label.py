"""`label`: people label the unlabelled items of a dataset, two of them and blind.

Rules: a rater never sees what another said or a model answered; the user who runs the command
labels; labels stay in the server's database until `finish` writes them into the dataset's
directory, which takes its signature away.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from appliance.cli.connect import admin_client, connected
from appliance.cli.output import Decorated, Output, prints, safe, table
from appliance.client import AdminClient
from appliance.datasets import changes, directory
from appliance.errors import DatasetRefused
from appliance.facts import table_of
from appliance.tasks.definition import LabelForm
from appliance.tasks.loaded import load
from appliance.text import many, percent
from appliance.trust.bytes.directory import open_artifact
from appliance.types import JsonValue
from appliance.wire.admin import labels as wire
from appliance.wire.admin.labels import LabelQueue, LabelSet, LabelsNew

_DIRECTORY: Final = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)
REPORT: Final = "labelling.json"
"""The file that tells how the labels came about; it is signed with the dataset."""


def _queue_argument(command: Decorated) -> Decorated:
    """A queue by its name, or by the directory that it is named after."""
    return click.argument(
        "queue", metavar="QUEUE", callback=lambda _ctx, _param, value: Path(value).name
    )(command)


@click.group()
def label() -> None:
    """Label from zero: two people, blind.

    Their agreement is measured.
    """


@label.command()
@click.argument("path", metavar="DATASET_DIR", type=_DIRECTORY)
@click.option("--rater", "raters", multiple=True, required=True, metavar="NAME",
              help="User who labels every item; give two. Of this host, or key:NAME for an API "
                   "key.")  # fmt: skip
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="One of the labels.")
@click.option("--task", type=_DIRECTORY, metavar="TASK_DIR", help="Take the labels of this task.")
@click.option("--name", metavar="QUEUE", help="By default the name of the directory.")
@click.option("--limit", type=click.IntRange(0), default=0,
              help="So many items, drawn from all; 0 for all.")  # fmt: skip
@prints
def new(
    output: Output,
    /,
    data: Path,
    path: Path,
    raters: Sequence[str],
    labels: Sequence[str],
    task: Path | None,
    name: str | None,
    limit: int,
) -> None:
    """Make a label queue of unlabelled items."""
    wanted = LabelsNew.of(
        name=name or path.name,
        data=str(path),
        labels=list(labels) or _labels(path, task),
        raters=list(raters),
        limit=limit,
    )
    with admin_client(data) as client:
        made = client.call(wire.LABEL_QUEUE_NEW, wanted)
    who = " and ".join(map(safe, made.raters))
    lines = [
        *_lines(made),
        f"  appliance label next {made.name}    # as {who}, each for themselves",
    ]
    output.data(made, lines)


@label.command("list")
@connected()
def list_(output: Output, client: AdminClient) -> None:
    """List label queues and their progress."""
    found = client.call(wire.LABEL_QUEUES)
    empty = ["No label queues. Make one with `appliance label new DATASET_DIR`."]
    rows = [
        (queue.name, str(queue.items), _people(queue), safe(queue.data)) for queue in found.queues
    ]
    output.data(found, table(("QUEUE", "ITEMS", "LABELLED", "DATASET"), rows) if rows else empty)


@label.command()
@_queue_argument
@connected()
def show(output: Output, client: AdminClient, queue: str) -> None:
    """Show a label queue and its progress.

    When both raters have finished, their agreement and the differences, too.
    """
    found = client.call(wire.LABEL_QUEUE, name=queue)
    differ = client.call(wire.LABEL_DIFFERENCES, name=queue) if found.finished else None
    lines = list(_lines(found))
    document = found.model_dump()
    if differ is not None and differ.differences:
        rows = [
            (safe(each.item), *map(safe, each.said), safe(_text(each.input)))
            for each in differ.differences
        ]
        lines += table(("ITEM", *(safe(name).upper() for name in differ.raters), "INPUT"), rows)
        lines.append(f"  appliance label set {queue} ITEM LABEL --together")
        document["differences"] = [each.model_dump() for each in differ.differences]
    output.data(document, lines)


@label.command("next")
@_queue_argument
@connected()
def next_(output: Output, client: AdminClient, queue: str) -> None:
    """Show the item that you label next.

    And the labels to choose from.
    """
    found = client.call(wire.LABEL_NEXT, name=queue)
    if found.item is None:
        output.data(
            found,
            [f"{safe(found.rater)} has labelled {found.total} of {many(found.total, 'item')}"],
        )
        return
    lines = [
        f"item {safe(found.item)}, {found.done} of {found.total} done",
        *(f"  {safe(name)}: {safe(str(value))}" for name, value in found.input.items()),
        f"labels: {', '.join(map(safe, found.labels))}",
    ]
    output.data(found, lines)


@label.command("set")
@_queue_argument
@click.argument("item", metavar="ITEM")
@click.argument("chosen", metavar="LABEL")
@click.option("--together", is_flag=True, help="The two raters agreed on it afterwards.")
@prints
def set_(output: Output, data: Path, queue: str, item: str, chosen: str, together: bool) -> None:
    """Keep your label of an item."""
    wanted = LabelSet.of(item=item, label=chosen, together=together)
    with admin_client(data) as client:
        found = client.call(wire.LABEL_SET, wanted, name=queue)
    output.data(found, _lines(found))


@label.command()
@_queue_argument
@click.argument("path", metavar="DATASET_DIR", type=_DIRECTORY)
@click.option("--dev", "share", type=click.FloatRange(0, 1), default=0.2, show_default=True,
              help="Share of the new groups that goes to dev. The rest goes to train.")  # fmt: skip
@prints
def finish(output: Output, data: Path, queue: str, path: Path, share: float) -> None:
    """Write settled labels into the dataset.

    Its signature goes.
    """
    found = directory.read(path)
    with admin_client(data) as client:
        taken = client.call(wire.LABEL_ANSWERS, name=queue)
    changed = changes.labelled(found, taken.answers, {"train": 1 - share, "dev": share})
    directory.rewrite(path, changed)
    (path / REPORT).write_text(json.dumps(taken.report, indent=2) + "\n", encoding="utf-8")
    told = taken.report
    lines = [
        f"{many(len(taken.answers), 'item')} labelled, {told['unsettled']} not settled",
        f"kappa {told['kappa']:.2f} (standard error {told['kappa_error']:.2f}), "
        f"agreement {percent(told['agreement'])}: {path / REPORT}",
        "not signed: run `appliance dataset sign`",
    ]
    document = {"path": str(path), **table_of(changed.facts()), "report": dict(told)}
    output.data(document, lines)


@label.command()
@_queue_argument
@connected()
def remove(output: Output, client: AdminClient, queue: str) -> None:
    """Remove a label queue: texts and labels."""
    left = client.call(wire.LABEL_QUEUE_REMOVE, name=queue)
    output.data(left, [f"{queue} is removed"])


def _labels(path: Path, task: Path | None) -> list[str]:
    """The labels of a task, or those that the dataset has already.

    Raises:
        DatasetRefused: `label_unknown`.
    """
    if task is None:
        known = {
            item.expected for item in directory.read(path).items if isinstance(item.expected, str)
        }
        if len(known) < 2:
            raise DatasetRefused("label_unknown", "Name the labels with --label or --task.")
        return sorted(known)
    with open_artifact(task) as artifact:
        form = load(artifact.prefix, "").task.output
    if not isinstance(form, LabelForm):
        raise DatasetRefused("label_unknown", f"{task.name} is no task of the form labels.")
    return list(form.labels)


def _lines(queue: LabelQueue) -> Iterator[str]:
    yield f"{queue.name}: {many(queue.items, 'item')}, {_people(queue)}"
    if queue.kappa is not None:
        yield (
            f"  kappa {queue.kappa:.2f}, agreement {percent(queue.agreement or 0)}, "
            f"{queue.unsettled} not settled"
        )
    if queue.aside:
        yield f"  put aside: {', '.join(f'{why} {n}' for why, n in queue.aside.items())}"
    if queue.job:
        yield f"  of the gate {queue.job}: when all are settled, appliance job resume {queue.job}"


def _people(queue: LabelQueue) -> str:
    return ", ".join(f"{safe(name)} {count}" for name, count in queue.done.items())


def _text(given: dict[str, JsonValue]) -> str:
    return " / ".join(str(value) for value in given.values() if value is not None)
