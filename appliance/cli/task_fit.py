"""`task fit`: the coefficients of a classifier, out of the split `train` of a dataset.

Rules: it works on directories and needs neither data directory nor server; the text of an item is
made as it is when the task serves; the same items give the same bytes.
"""

import hashlib
from pathlib import Path
from typing import Final

import click

from appliance.cli.output import Output, json_option
from appliance.datasets import directory
from appliance.errors import EvaluationRefused, TaskRefused
from appliance.evals import scoring
from appliance.tasks import definition
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import fit_linear
from appliance.tasks.definition import Labels, Task
from appliance.tasks.inputs import checked
from appliance.tasks.labelled import text_of
from appliance.trust.directory import open_artifact

_DIRECTORY: Final = click.Path(path_type=Path)


@click.command()
@click.argument("path", metavar="DIR", type=_DIRECTORY)
@click.option(
    "--data", "source", type=_DIRECTORY, required=True, metavar="DATASET",
    help="The dataset's directory; its split train is read.",
)  # fmt: skip
@json_option
@click.pass_obj
def fit(output: Output, path: Path, source: Path) -> None:
    """Fit logistic regression over n-grams to the task's labels, and write classifier.json."""
    with open_artifact(path) as artifact:
        task = definition.parse(artifact.prefix(definition.FILE, definition.MAX_BYTES))
    texts, labels = _pairs(task, source)
    data = document.write(fit_linear(texts, labels))
    (path / document.FILE).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    found = {"file": document.FILE, "digest": digest, "bytes": len(data), "items": len(texts)}
    lines = [
        f"{len(texts)} items of train, {len(data):,} bytes, SHA-256 {digest}",
        "Name it in task.toml, then sign the task:",
        "  [candidate]",
        '  kind = "classifier"',
        f'  classifier = "{document.FILE}"',
    ]
    output.data(found, lines)


def _pairs(task: Task, source: Path) -> tuple[list[str], list[str]]:
    """The texts and labels of the items that can be learned from.

    Raises:
        TaskRefused: `task_invalid` for another form than labels.
        EvaluationRefused: `evaluation_empty` when a label has no item; `item_unfit`.
    """
    if not isinstance(task.output, Labels):
        raise TaskRefused("task_invalid", "Only a task of the form labels has a classifier.")
    texts, labels = [], []
    for item in directory.read(source).splits.get("train", ()):
        if item.labelled:
            labels.append(scoring.expected_of(task, item))
            texts.append(text_of(task, checked(task, scoring.input_of(task, item))))
    if missing := sorted(set(task.output.labels) - set(labels)):
        raise EvaluationRefused(
            "evaluation_empty", f"No item of train has the label {missing[0]!r}."
        )
    return texts, labels
