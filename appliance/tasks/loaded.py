"""A task in use: its definition and the files that it names, read and checked together.

Rules: every fault is found here, before the task serves; the directory is read by name through
`read`, which knows the signed files.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never

from appliance.errors import ApplianceError, TaskRefused
from appliance.tasks import definition, values
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.document import Classifier
from appliance.tasks.classifiers.linear import Linear
from appliance.tasks.definition import JsonForm, LabelForm, Task, Text
from appliance.tasks.inputs import Example, Renderer, checked
from appliance.tasks.schemas import ObjectSchema

MAX_FILE: Final = 1 << 20
MAX_EXAMPLES: Final = 200

Read: TypeAlias = Callable[[str, int], bytes]
"""Reads a file of the task's directory by name, at most so many bytes."""


@dataclass(frozen=True)
class LoadedTask:
    """A task that can answer.

    Attributes:
        digest: of its signed directory.
        schema: of the form `fields`; empty otherwise.
        classifier: of a classifier or a blend.
        classifier_digest: SHA-256 of its file; "" without one.
        policy: version of the verifying trust policy; 0 for a draft.
    """

    task: Task
    digest: str
    renderer: Renderer
    schema: ObjectSchema
    example_ids: tuple[str, ...] = ()
    classifier: Classifier | None = None
    classifier_digest: str = ""
    policy: int = 0


def load(read: Read, digest: str) -> LoadedTask:
    """Read a task's directory.

    Raises:
        TaskRefused: `task_examples_invalid`, `task_invalid` for a classifier of another set of
            labels, and all that its definition and files refuse.
        Refused: `coefficients_invalid`.
    """
    task = definition.parse(read(definition.FILE, definition.MAX_BYTES))
    schema = ObjectSchema({})
    if isinstance(task.output, JsonForm):
        schema = definition.parse_schema(read(task.output.schema, MAX_FILE))
        if task.output.encoding == "values":
            values.check(schema)
        if unknown := sorted(set(task.compare) - set(schema.names)):
            raise TaskRefused(
                "task_invalid",
                f"task.toml compares {unknown[0]!r}, which the schema does not have.",
            )
    ids, examples = [], []
    if task.prompt.examples is not None:
        for number, line in enumerate(_lines(read(task.prompt.examples, MAX_FILE)), 1):
            identity, example = _example(task, schema, number, line)
            ids.append(identity)
            examples.append(example)
    classifier, classifier_digest = _classifier(task, read)
    return LoadedTask(
        task,
        digest,
        Renderer(task, examples),
        schema,
        tuple(ids),
        classifier,
        classifier_digest,
    )


def _classifier(task: Task, read: Read) -> tuple[Classifier | None, str]:
    candidate = task.candidate
    if candidate.classifier is None or not isinstance(task.output, LabelForm):
        return None, ""
    data = read(candidate.classifier, document.MAX_BYTES + 1)
    found = document.read(data)
    if set(found.labels) != set(task.output.labels):
        raise _unfit_classifier("has other labels than the task")
    if isinstance(found, Linear):
        if candidate.kind == "classifier" and candidate.model:
            raise _unfit_classifier("needs no model; leave candidate.model and its digest out")
    elif candidate.kind == "blend":
        raise _unfit_classifier("needs a model that embeds, and a blend has none")
    elif candidate.digest != found.embedder:
        raise _unfit_classifier(f"was fitted to vectors of the model with digest {found.embedder}")
    return found, hashlib.sha256(data).hexdigest()


def _unfit_classifier(reason: str) -> TaskRefused:
    return TaskRefused("task_invalid", f"The classifier of the task {reason}.")


def answer_text(task: Task, schema: ObjectSchema, expected: Any) -> str:
    """The model's text for an expected answer.

    Raises:
        TaskRefused: `task_answer_unfit` when the task's form cannot say it.
    """
    output = task.output
    match output:
        case LabelForm():
            if expected not in output.labels:
                raise TaskRefused("task_answer_unfit", f"{str(expected)[:80]!r} is no label.")
            return output.written(expected)
        case JsonForm():
            if not isinstance(expected, dict):
                raise TaskRefused("task_answer_unfit", "The expected answer is not an object.")
            if output.encoding == "values":
                return values.write(schema, expected)
            ordered = {name: expected[name] for name in schema.names if name in expected}
            return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
        case Text():
            if not isinstance(expected, str):
                raise TaskRefused("task_answer_unfit", "The expected answer is not text.")
            return expected
        case _:
            assert_never(output)


def _lines(data: bytes) -> list[bytes]:
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) > MAX_EXAMPLES:
        raise _invalid(f"{len(lines)} examples are more than {MAX_EXAMPLES}")
    return lines


def _example(task: Task, schema: ObjectSchema, number: int, line: bytes) -> tuple[str, Example]:
    try:
        item = json.loads(line)
        identity, sent, expected = item["id"], item["input"], item["expected"]
        if not isinstance(identity, str) or not isinstance(sent, dict):
            raise _invalid(f"line {number} has no id, or its input is no object")
        return identity, Example(checked(task, sent), answer_text(task, schema, expected))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _invalid(f"line {number} is no item with id, input and expected") from error
    except ApplianceError as error:
        raise _invalid(f"line {number}: {error.message}") from error


_invalid: Final = TaskRefused.of("task_examples_invalid", "The task's examples cannot be used")
