"""Enforcement of the form of a task's answers, as far as that is known without a model.

Rule: the task's author calls it before signing; a server compiles constraints in the worker only,
and refuses there what a vocabulary or a limit makes impossible.
"""

import json
from typing import Final

from appliance.engine.text.grammar import check_constraint
from appliance.engine.text.schemas import refused
from appliance.errors import BadRequest, TaskRefused
from appliance.tasks import values
from appliance.tasks.definition import JsonForm, Task, check_metric
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.schemas import ObjectSchema
from appliance.types import Constraint

_LINE: Final = 64
"""Tokens that a value may take on average, where the task states no limit."""


def constraint(output: JsonForm, schema: ObjectSchema) -> Constraint:
    """A constraint that holds a model to the fields."""
    if output.encoding == "values":
        return Constraint("regex", values.expression(schema))
    return Constraint("json_schema", json.dumps(schema.document))


def most_tokens(task: Task, schema: ObjectSchema) -> int | None:
    """Most tokens of an answer in fields; None where the schema alone bounds it."""
    if task.max_tokens or not isinstance(task.output, JsonForm) or task.output.encoding == "json":
        return task.max_tokens or None
    return _LINE * len(schema.names)


def check_form(loaded: LoadedTask) -> None:
    """Raises TaskRefused (`task_schema_invalid`, `task_metric_unfit`)."""
    check_metric(loaded.task)
    output = loaded.task.output
    if not isinstance(output, JsonForm):
        return
    try:
        check_constraint(constraint(output, loaded.schema))
    except BadRequest as error:
        reason = error.message.removeprefix(refused("").message)
        raise TaskRefused("task_schema_invalid", f"The schema: {reason}") from error
