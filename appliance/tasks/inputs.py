"""From an app's input to the model's conversation.

Rules:
- An app sends the fields as a JSON object, or plain text where the task has one required field. A
  JSON object is never taken as text.
- The template sees the input fields only, in a sandbox; its output is bounded.
- A field that is missing, unknown or too long is refused by name. Nothing is cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from appliance.errors import BadRequest, TaskRefused
from appliance.tasks.definition import Task
from appliance.tasks.matching import object_of
from appliance.types import JsonValue

MAX_RENDERED: Final = 1 << 20
"""Longest message that a template may make, in characters."""

Values: TypeAlias = Mapping[str, str]
"""The input fields of one item, by name."""
Message: TypeAlias = Mapping[str, str]
"""`role` and `content` of one turn."""


@dataclass(frozen=True)
class Example:
    """A solved item: its input and the model's right answer."""

    values: Values
    answer: str


def values_of(task: Task, content: str) -> dict[str, str]:
    """Raises BadRequest (`task_input_invalid`), naming the field."""
    sent = object_of(content)
    if sent is None:
        required = [field.name for field in task.input if field.required]
        if len(required) != 1:
            raise _refused(task, _expected(task))
        sent = {required[0]: content}
    return checked(task, sent)


def checked(task: Task, sent: Mapping[str, JsonValue]) -> dict[str, str]:
    """Raises as `values_of`."""
    for name in sent:
        if name not in task.fields:
            raise _refused(task, f"it has no field {name!r}; {_expected(task)}")
    values = {}
    for field in task.input:
        value = sent.get(field.name, None if field.required else "")
        if value is None:
            raise _refused(task, f"the field {field.name!r} is missing")
        if not isinstance(value, str):
            raise _refused(task, f"the field {field.name!r} is not text")
        if len(value) > field.max_chars:
            raise _refused(
                task, f"{field.name!r} has {len(value)} characters, more than {field.max_chars}"
            )
        values[field.name] = value
    return values


class Renderer:
    """The compiled template of a task.

    Args:
        examples: solved items before each input.

    Raises:
        TaskRefused: `task_template_invalid` when it does not compile or uses an unknown field.
    """

    def __init__(self, task: Task, examples: Sequence[Example] = ()) -> None:
        environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
        environment.globals.clear()
        try:
            used = meta.find_undeclared_variables(environment.parse(task.prompt.user))
            self._template = environment.from_string(task.prompt.user)
        except Exception as error:  # Python's own compiler has limits, too
            raise TaskRefused(
                "task_template_invalid", f"The template does not compile: {error}"
            ) from error
        if unknown := sorted(used - set(task.fields)):
            raise TaskRefused(
                "task_template_invalid",
                f"The template uses {', '.join(unknown)}, which the task has no input field for.",
            )
        self._prefix = self._opening(task, examples)

    @property
    def prefix(self) -> tuple[Message, ...]:
        """The engine computes these turns once."""
        return self._prefix

    def messages(self, values: Values) -> tuple[Message, ...]:
        """Raises BadRequest: `task_input_invalid` when the template fails on these values."""
        return (*self._prefix, {"role": "user", "content": self._render(values)})

    def _opening(self, task: Task, examples: Sequence[Example]) -> tuple[Message, ...]:
        turns: list[Message] = []
        if task.prompt.system:
            turns.append({"role": "system", "content": task.prompt.system})
        for example in examples:
            turns.append({"role": "user", "content": self._render(example.values)})
            turns.append({"role": "assistant", "content": example.answer})
        return tuple(turns)

    def _render(self, values: Values) -> str:
        pieces, length = [], 0
        try:
            for piece in self._template.generate(**values):
                length += len(piece)
                if length > MAX_RENDERED:
                    raise ValueError(f"more than {MAX_RENDERED} characters")
                pieces.append(piece)
        except Exception as error:  # a template is a program: anything may go wrong in it
            raise BadRequest(
                "task_input_invalid", f"The task's template fails on this input: {error}"
            ) from error
        return "".join(pieces)


def _expected(task: Task) -> str:
    names = ", ".join(f"{f.name!r}" + ("" if f.required else " (optional)") for f in task.input)
    return f"it takes a JSON object with the fields {names}"


def _refused(task: Task, reason: str) -> BadRequest:
    return BadRequest(
        "task_input_invalid", f"The task {task.id!r} cannot take this input: {reason}."
    )
