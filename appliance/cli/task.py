"""`task`: narrow jobs that apps call by name, from a directory to the store.

Rules: new, check and sign need no server; `new` asks on a terminal for missing values and elsewhere
names their options; private keys stay in this process; a task is approved like a model.
"""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from appliance.cli import pointer
from appliance.cli.artifact import imports, lists, signs
from appliance.cli.connect import admin_client
from appliance.cli.output import DIRECTORY, Output, asked, json_option, safe
from appliance.cli.release import release
from appliance.cli.task_fit import fit, fitted
from appliance.cli.task_weights import weights
from appliance.config import data_directory
from appliance.datasets import directory as datasets
from appliance.evals.shots import choose
from appliance.evals.subject import check_examples
from appliance.facts import table_of
from appliance.tasks import catalogue, drafting
from appliance.tasks.enforcement import check_form
from appliance.tasks.metrics import FORMS, METRICS
from appliance.text import many
from appliance.trust.bytes.directory import open_artifact
from appliance.wire.admin.models import MODEL

_LABELS: Final = 8
"""Labels that `new` counts by name."""


@click.group()
def task() -> None:
    """Tasks: narrow jobs that apps call by name."""


@task.command()
@click.argument("path", metavar="DIR", type=DIRECTORY)
@click.option(
    "--from",
    "dataset",
    metavar="DATASET_DIR",
    type=DIRECTORY,
    required=True,
    help="Dataset of labelled items. The form, the fields and the examples come from train.",
)
@click.option("--description", help="The task, in a sentence.")
@click.option("--classifier", is_flag=True, help="Fit logistic regression; no model answers.")
@click.option("--model", help="Id of the model or adapter that answers.")
@click.option("--digest", help="Its digest. By default that in the data directory.")
@click.option("--id", "task_id", help="By default the name of the directory.")
@click.option(
    "--form",
    type=click.Choice(FORMS),
    help="By default what the expected answers are.",
)
@click.option(
    "--encoding",
    type=click.Choice(["json", "values"]),
    help="Form of the fields. By default values where they can say every answer.",
)
@click.option(
    "--shots",
    type=click.IntRange(0, 200),
    help="Solved items of train in the prompt. By default 4, of a classifier none.",
)
@click.option(
    "--metric",
    type=click.Choice(list(METRICS)),
    help="Metric of the gate. By default the usual one of the form.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Allowed drop against what serves today. As a share.",
)
@click.option(
    "--floor",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Score that it must reach in any case.",
)
@click.option("--system", default="", help="The system message. By default a plain sentence.")
@click.option("--directory", "--data", "data", metavar="DIR",
              help="Data directory that knows the model.")  # fmt: skip
@json_option
@click.pass_obj
def new(
    output: Output,
    /,
    data: str | None,
    path: Path,
    dataset: Path,
    task_id: str | None,
    shots: int | None,
    classifier: bool,
    **given: Any,
) -> None:
    """Draft a task from labelled items.

    task.toml is commented; the files that it names are next to it.
    """
    found = datasets.read(dataset)
    train = found.splits.get("train", ())
    labelled = [item for item in train if item.labelled]
    told = found.manifest.description or None
    description = asked(given.pop("description"), "The task in a sentence", told)
    model = given.pop("model")
    if classifier and (model or given["digest"]):
        raise click.UsageError("A task has a classifier or a model.")
    if not classifier:
        model = asked(model, "Id of the model that answers", "smollm2-135m")
        given["digest"] = given["digest"] or _digest(data_directory(data), model)
    margin = asked(given.pop("margin"), "Allowed drop against today's, as a share", 0.05)
    wanted = drafting.TaskDraft(
        task_id or path.absolute().name, description, model, margin=margin, **given
    )
    shown = choose(labelled, 4 * (not classifier) if shots is None else shots)
    fitting = partial(fitted, items=labelled) if classifier else None
    made = drafting.files(wanted, labelled, shown, fitting)
    drafting.write(path, made)
    lines = [f"wrote {path / name}" for name in made]
    counts = Counter(str(item.expected) for item in labelled if classifier).most_common()
    if counts:
        named = ", ".join(f"{safe(label)} {count}" for label, count in counts[:_LABELS])
        rarer = f", {many(len(counts) - _LABELS, 'rarer label')}" if counts[_LABELS:] else ""
        lines.append(f"fitted to {many(len(labelled), 'item')}: {named}{rarer}")
    output.data({"path": str(path), "files": sorted(made), "labels": dict(counts)}, lines)
    output.note(f"  appliance task release {path} --data {dataset} --as NAME --key FILE")


def _digest(data: Path, model: str) -> str:
    """The digest of a model in the store."""
    with admin_client(data) as client:
        return client.call(MODEL, model_id=model).digest or ""


@task.command()
@click.argument("path", metavar="DIR", type=DIRECTORY)
@click.option(
    "--from",
    "dataset",
    metavar="DATASET_DIR",
    type=DIRECTORY,
    help="Dataset of its examples. They must be items of train.",
)
@json_option
@click.pass_obj
def check(output: Output, path: Path, dataset: Path | None) -> None:
    """Check a task's definition and files.

    Template, schema and examples, too.
    """
    with open_artifact(path) as artifact:
        found = table_of(catalogue.vet(artifact).kept())
        check_form(catalogue.read_artifact(artifact))
        if dataset is not None:
            train = datasets.read(dataset).splits.get("train", ())
            check_examples(catalogue.read_artifact(artifact), train)
    lines = [f"{name}: {safe(str(value))}" for name, value in found.items()]
    output.data(found, lines)


def _check(path: Path) -> None:
    with open_artifact(path) as artifact:
        catalogue.vet(artifact)
        check_form(catalogue.read_artifact(artifact))


signs(task, _check)
imports(task)
lists(task)
for _command in (fit, weights, release, *pointer.COMMANDS):
    task.add_command(_command)
