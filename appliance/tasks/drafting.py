"""A first `task.toml` with its files, from labelled items. Pure but for `write`.

Rules: fields, labels, types and lengths are read from the items; a person's decision has a comment
in the file; either a task is written that `task check` accepts, or nothing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, assert_never

from appliance.datasets.items import Item
from appliance.errors import TaskRefused, UsageError
from appliance.tasks import definition, values
from appliance.tasks.classifiers import document
from appliance.tasks.definition import FILE, MAX_LABELS, Task
from appliance.tasks.loaded import LoadedTask, load
from appliance.tasks.metrics import Form, usual
from appliance.tasks.schemas import ObjectSchema
from appliance.types import JsonValue

SCHEMA: Final = "schema.json"
EXAMPLES: Final = "examples.jsonl"
_LEAST_CHARS: Final = 500
"""Of the limit of a field: what apps send may be longer than what was labelled."""
_MOST_OPTIONS: Final = 64
"""A text field with at most so many values, most of which repeat, lists them."""
_FEWEST_OPTIONS: Final = 2


@dataclass(frozen=True)
class TaskDraft:
    """A person's decisions; the rest, and None, is taken from the items.

    Attributes:
        model: its id; None for a classifier.
    """

    id: str
    description: str
    model: str | None
    digest: str | None
    form: Form | None = None
    encoding: Literal["json", "values"] | None = None
    metric: str | None = None
    margin: float = 0.05
    floor: float = 0.0
    system: str = ""


def files(
    draft: TaskDraft,
    train: Sequence[Item],
    shown: Sequence[Item] = (),
    fitted: Callable[[Task], bytes] | None = None,
) -> dict[str, bytes]:
    """The files of a task.

    Args:
        train: labelled items of the split `train`.
        shown: those of them that the prompt shows.
        fitted: the coefficients for a task that a classifier answers.

    Raises:
        TaskRefused: `task_invalid` when the items make no task.
    """
    if not train:
        raise TaskRefused("task_invalid", "The split train has no items to make a task of.")
    form = draft.form or form_of(train)
    made: dict[str, bytes] = {}
    encoding = draft.encoding
    if form == "fields":
        schema = schema_of(train)
        made[SCHEMA] = json.dumps(schema, ensure_ascii=False, indent=2).encode() + b"\n"
        encoding = encoding or _encoding(ObjectSchema(schema))
    if shown:
        made[EXAMPLES] = b"".join(_example(item) for item in shown)
    made[FILE] = _toml(draft, form, encoding, train, bool(shown)).encode()
    if fitted is not None:
        made[document.FILE] = fitted(definition.parse(made[FILE]))
    definition.check_metric(_loaded(made).task)
    return made


def write(directory: Path, made: Mapping[str, bytes]) -> None:
    """Raises UsageError (`data_exists`)."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError("data_exists", f"{directory} is there already.")
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        (directory / name).write_bytes(data)


def form_of(train: Sequence[Item]) -> Form:
    """The answers' form: objects are fields, repeated texts labels."""
    if any(isinstance(item.expected, Mapping) for item in train):
        return "fields"
    found = {item.label for item in train}
    return "labels" if len(found) <= min(MAX_LABELS, max(2, len(train) // 2)) else "text"


def schema_of(train: Sequence[Item]) -> dict[str, Any]:
    """The answers' schema: types, short lists of values, lengths."""
    objects = [item.expected for item in train if isinstance(item.expected, Mapping)]
    names = list(dict.fromkeys(name for each in objects for name in each))
    properties = {
        name: _property([each[name] for each in objects if name in each]) for name in names
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in names if all(name in each for each in objects)],
        "additionalProperties": False,
    }


def _property(found: Sequence[Any]) -> dict[str, JsonValue]:
    texts = sorted({value for value in found if isinstance(value, str)})
    kinds = sorted({_kind(value) for value in found})
    only_text = set(kinds) <= {"string", "null"} and "" not in texts
    repeated = len(texts) <= len([v for v in found if isinstance(v, str)]) // _FEWEST_OPTIONS
    if only_text and texts and len(texts) <= _MOST_OPTIONS and repeated:
        return {"enum": [*texts, None] if "null" in kinds else list(texts)}
    if "integer" in kinds and "number" in kinds:
        kinds.remove("integer")
    made: dict[str, JsonValue] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    if texts:
        made["maxLength"] = _roomy(max(map(len, texts)))
    return made


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    raise TaskRefused("task_invalid", "A field of an expected answer holds a list or an object.")


def _encoding(schema: ObjectSchema) -> Literal["json", "values"]:
    try:
        values.check(schema)
    except TaskRefused:
        return "json"
    return "values"


def codes(labels: Sequence[str]) -> list[str]:
    """Short codes for labels where one is the beginning of another; [] otherwise."""
    if not definition.prefixes(tuple(labels)):
        return []
    if len(labels) <= 26:
        return [chr(ord("A") + number) for number in range(len(labels))]
    width = len(str(len(labels)))
    return [f"{number:0{width}}" for number in range(1, len(labels) + 1)]


def _example(item: Item) -> bytes:
    line = {"id": item.id, "input": _sent(item), "expected": item.expected}
    return json.dumps(line, ensure_ascii=False, default=dict).encode() + b"\n"


def _sent(item: Item) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in item.input.items()
        if value is not None
    }


def _roomy(length: int) -> int:
    step: int = 10 ** max(1, len(str(length)) - 1)
    return -(-2 * length // step) * step


def _toml(
    draft: TaskDraft, form: Form, encoding: str | None, train: Sequence[Item], shown: bool
) -> str:
    names = list(dict.fromkeys(name for item in train for name in item.input))
    fields = [_field(name, train) for name in names]
    user = "{{ text }}" if names == ["text"] else "\n".join(f"{n}: {{{{ {n} }}}}" for n in names)
    parts = [
        "# Every key: docs/tasks.md. `appliance task check` reads it; count `version` up when",
        "# anything here changes, since apps and certificates name the version.",
        f"id = {_text(draft.id)}",
        "version = 1",
        f"description = {_text(draft.description)}",
        "",
        "# What an app sends. A longer value is refused, never cut; the limits leave twice the",
        "# room that the longest training item takes.",
        "input = [",
        *(f"  {field}," for field in fields),
        "]",
        "",
        "# The answer to an app for an input that no stage may answer: \"error\" or \"queue\".",
        'on_defer = "error"',
        "",
        "[candidate]",
        *_candidate(draft),
        "",
        "[prompt]",
        "# Say here what the job is, as you would say it to a new colleague.",
        f"system = {_text(draft.system or _system(form, train))}",
        "# Jinja over the input fields, in a sandbox.",
        f"user = {_text(user)}",
        *(
            ["# Solved items of the split train, shown before each input.",
             f"examples = {_text(EXAMPLES)}"]
            if shown
            else []
        ),
        "",
        "[output]",
        f"form = {_text(form)}",
        *_output(form, encoding, train),
        "",
        "[gate]",
        "# What is compared, how much worse than what serves today a candidate may be, and what it",
        "# must reach in any case. The gate reads these; write them down before you look.",
        f"metric = {_text(draft.metric or usual(form).name)}",
        f"margin = {draft.margin!r}",
        "alpha = 0.05",
        f"floor = {draft.floor!r}",
        "",
    ]  # fmt: skip
    return "\n".join(parts)


def _candidate(draft: TaskDraft) -> list[str]:
    if draft.model is None:
        return [
            "# Logistic regression over n-grams, which `appliance task fit` makes of train.",
            'kind = "classifier"',
            f"classifier = {_text(document.FILE)}",
        ]
    return [
        'kind = "model"',
        f"model = {_text(draft.model)}",
        "# The task answers only over this very model.",
        f"digest = {_text(draft.digest or '')}",
    ]


def _field(name: str, train: Sequence[Item]) -> str:
    sent = [_sent(item).get(name) for item in train]
    longest = max(_LEAST_CHARS, _roomy(max(len(value or "") for value in sent) or 1))
    optional = ", required = false" if None in sent else ""
    return f"{{ name = {_text(name)}, max_chars = {longest}{optional} }}"


def _output(form: Form, encoding: str | None, train: Sequence[Item]) -> list[str]:
    match form:
        case "labels":
            labels = sorted({item.label for item in train})
            lines = [f"labels = [{', '.join(map(_text, labels))}]"]
            if short := codes(labels):
                lines += [
                    "# One label is the beginning of another, so the model writes codes.",
                    f"codes = [{', '.join(map(_text, short))}]",
                ]
            return lines
        case "fields":
            return [
                f"schema = {_text(SCHEMA)}",
                "# values: the model writes one value a line, and the appliance writes the JSON.",
                f"encoding = {_text(encoding or 'json')}",
            ]
        case "text":
            return []
        case _:
            assert_never(form)


def _system(form: Form, train: Sequence[Item]) -> str:
    labels = sorted({item.label for item in train}) if form == "labels" else []
    short = codes(labels)
    listed = (
        ", ".join(f"{code} ({label})" for code, label in zip(short, labels, strict=True))
        if short
        else ", ".join(labels)
    )
    match form:
        case "labels":
            return f"Name the one of these that fits the input: {listed}."
        case "fields":
            return "Write down the fields that the input states; null where it states nothing."
        case "text":
            return "Answer in as few words as possible."
        case _:
            assert_never(form)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _loaded(made: Mapping[str, bytes]) -> LoadedTask:
    def read(name: str, most: int) -> bytes:
        return made[name][:most]

    return load(read, "")
