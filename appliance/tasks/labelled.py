"""Distributions over a task's labels: from a classifier, and as an app's answer.

Rule: a classifier reads, and was fitted to, the values of the input fields, in the task's order,
one a line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from appliance.tasks.classifiers.document import Classifier
from appliance.tasks.classifiers.linear import Linear
from appliance.tasks.definition import LabelForm, Task
from appliance.tasks.loaded import LoadedTask
from appliance.types import TaskAnswer


def text_of(task: Task, values: Mapping[str, str]) -> str:
    """The input as a classifier reads it."""
    return "\n".join(values[name] for name in task.fields if values.get(name))


def judged(
    classifier: Classifier, output: LabelForm, text: str, vector: NDArray[np.float32] | None = None
) -> list[float]:
    """Probabilities of labels, in the task's order.

    Args:
        vector: of the text, for nearest neighbours, which raise ValueError without one.
    """
    if isinstance(classifier, Linear):
        (shares,) = classifier.probabilities([text])
    elif vector is None:
        raise ValueError("neighbours need the vector of the text")
    else:
        (shares,) = classifier.probabilities([vector])
    named = dict(zip(classifier.labels, shares.tolist(), strict=True))
    return [named[label] for label in output.labels]


def about(loaded: LoadedTask) -> TaskAnswer:
    """The origin of a task's answers."""
    task, candidate = loaded.task, loaded.task.candidate
    alone = candidate.kind == "classifier"
    return TaskAnswer(
        task=task.id,
        version=task.version,
        digest=loaded.digest,
        stage="classifier" if alone else candidate.model,
        kind=candidate.kind,
        candidate=loaded.classifier_digest if alone else candidate.digest,
    )


def answer(
    loaded: LoadedTask, output: LabelForm, shares: Sequence[float]
) -> tuple[str, TaskAnswer]:
    """The likeliest label, the first of equals, and its facts."""
    best = max(range(len(shares)), key=lambda n: (shares[n], -n))
    named = tuple(zip(output.labels, shares, strict=True))
    told = replace(about(loaded), confidence=shares[best], distribution=named)
    return output.labels[best], told
