"""`task fit`: the coefficients of a classifier, out of the split `train` of a dataset.

Rules: logistic regression needs neither data directory nor server; nearest neighbours need vectors,
so they come out of an evaluation, which learned them by an approved model. The text of an item is
made as when the task serves; the same items give the same bytes.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import click

from appliance.cli.connect import admin_client
from appliance.cli.output import DIRECTORY, Output, directory_option, json_option, safe
from appliance.datasets import directory
from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused, TaskRefused
from appliance.evals import scoring
from appliance.tasks import definition
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import fit_linear
from appliance.tasks.definition import LabelForm, Task
from appliance.tasks.inputs import checked
from appliance.tasks.labelled import text_of
from appliance.text import many
from appliance.trust.bytes.directory import open_artifact
from appliance.types import JsonValue
from appliance.wire.admin.evaluations import EVALUATION_NEIGHBOURS


@click.command()
@click.argument("path", metavar="DIR", type=DIRECTORY)
@click.option(
    "--data", "source", type=DIRECTORY, metavar="DATASET",
    help="Fit logistic regression to this dataset. To the split train of its directory.",
)  # fmt: skip
@click.option(
    "--neighbours", "evaluation", type=click.IntRange(1), metavar="ID",
    help="Take an evaluation's nearest neighbours. It needs a server.",
)  # fmt: skip
@directory_option
@json_option
@click.pass_obj
def fit(
    output: Output, path: Path, source: Path | None, evaluation: int | None, data: Path
) -> None:
    """Fit a classifier to a dataset.

    classifier.json is logistic regression over n-grams, or nearest neighbours.
    """
    with open_artifact(path) as artifact:
        task = definition.parse(artifact.prefix(definition.FILE, definition.MAX_BYTES))
    if (source is None) == (evaluation is None):
        raise click.UsageError("Name either --data or --neighbours.")
    if source is not None:
        train = directory.read(source).splits.get("train", ())
        items = [item for item in train if item.labelled]
        written, more = fitted(task, items), []
        found: dict[str, JsonValue] = {"items": len(items)}
        told = f"{many(len(items), 'item')} of train, "
    else:
        with admin_client(data) as client:
            near = client.call(EVALUATION_NEIGHBOURS, job_id=evaluation or 0)
        written = near.document.encode()
        _check_labels(task, document.read(written).labels)
        more = [f'  model = "{near.model}"', f'  digest = "{near.digest}"']
        found = {"model": near.model, "model_digest": near.digest}
        told = f"nearest neighbours by {safe(near.model)}, "
    (path / document.FILE).write_bytes(written)
    digest = hashlib.sha256(written).hexdigest()
    lines = [
        f"{told}{len(written):,} bytes, SHA-256 {digest}",
        "Name it in task.toml, then sign the task:",
        "  [candidate]",
        '  kind = "classifier"',
        f'  classifier = "{document.FILE}"',
        *more,
    ]
    output.data({"file": document.FILE, "digest": digest, "bytes": len(written), **found}, lines)


def _check_labels(task: Task, labels: tuple[str, ...]) -> None:
    """Raises TaskRefused (`task_invalid`) when the evaluation was of another task's labels."""
    if not isinstance(task.output, LabelForm) or set(task.output.labels) != set(labels):
        raise TaskRefused("task_invalid", "The evaluation's labels are not those of the task.")


def fitted(task: Task, items: Sequence[Item]) -> bytes:
    """The coefficients of logistic regression.

    Raises:
        TaskRefused: `task_invalid` for another form than labels.
        EvaluationRefused: `evaluation_empty` when a label has no item; `item_unfit`.
    """
    if not isinstance(task.output, LabelForm):
        raise TaskRefused("task_invalid", "Only a task of the form labels has a classifier.")
    labels = [scoring.expected_of(task, item) for item in items]
    texts = [text_of(task, checked(task, scoring.input_of(task, item))) for item in items]
    if missing := sorted(set(task.output.labels) - set(labels)):
        raise EvaluationRefused(
            "evaluation_empty", f"No item of train has the label {missing[0]!r}."
        )
    return document.write(fit_linear(texts, labels))
