"""`task weights`: the words that decide for a label, of a task that a regression answers.

Rules: it needs neither data directory nor server; n-grams of characters are in quotes.
"""

from dataclasses import asdict
from pathlib import Path

import click

from appliance.cli.output import DIRECTORY, Output, json_option, safe, table
from appliance.errors import TaskRefused
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import Linear
from appliance.tasks.classifiers.weights import decided, strongest
from appliance.trust.bytes.directory import open_artifact


@click.command()
@click.argument("path", metavar="DIR", type=DIRECTORY)
@click.option("--label", help="Only this label.")
@click.option("--text", help="Explain the answer to this text.")
@click.option("--most", type=click.IntRange(1, 1_000), default=8, show_default=True,
              help="Features to show.")  # fmt: skip
@json_option
@click.pass_obj
def weights(output: Output, path: Path, label: str | None, text: str | None, most: int) -> None:
    """Show the words that decide for a label.

    With --text those of one text, over the label that comes next.
    """
    with open_artifact(path) as artifact:
        if document.FILE not in artifact.sizes:
            raise TaskRefused("task_invalid", f"{path} has no {document.FILE}.")
        model = document.read(artifact.prefix(document.FILE, document.MAX_BYTES))
    if not isinstance(model, Linear):
        raise TaskRefused("task_invalid", "Nearest neighbours have no words that decide.")
    if label is not None and label not in model.labels:
        raise TaskRefused("task_invalid", f"{label!r} is no label: {', '.join(model.labels)}.")
    if text is not None:
        found = decided(model, text)
        rows = [(safe(each.name), f"{each.weight:+.3f}") for each in found.features[:most]]
        said = (
            f"{safe(found.answer)} (confidence {found.confidence:.3f}), before "
            f"{safe(found.against)}: intercepts {found.start:+.3f}"
        )
        output.data(asdict(found), [said, *table(("FEATURE", "ADDS"), rows)])
        return
    told = {name: strongest(model, name, most) for name in ([label] if label else model.labels)}
    lines = [
        (safe(name), ", ".join(f"{safe(each.name)} {each.weight:+.2f}" for each in features))
        for name, features in told.items()
    ]
    shown = {name: [asdict(each) for each in features] for name, features in told.items()}
    output.data({"labels": shown}, table(("LABEL", "SPEAKS FOR IT"), lines))
