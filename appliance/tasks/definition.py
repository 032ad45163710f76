"""`task.toml`: a task, as its author wrote it.

Rules:
- An unknown key or value is refused, with its place in the file.
- Everything that an answer depends on is in the task's directory or is named by its digest.
- No label is the beginning of another, because scores of labels are compared token by token.

docs/tasks.md has the format.
"""

import itertools
import json
import tomllib
from typing import Annotated, Final, Literal, TypeAlias, assert_never

import msgspec
from msgspec import Meta, Struct

from appliance.engine.text.enforceable import enforceable
from appliance.engine.text.schemas import checked_schema, json_validator
from appliance.errors import BadRequest, TaskRefused
from appliance.tasks.matching import WHOLE, Compare
from appliance.tasks.metrics import METRICS, Form, that_fit
from appliance.tasks.schemas import ObjectSchema

FILE: Final = "task.toml"
MAX_BYTES: Final = 256 << 10
MAX_LABELS: Final = 256

_Id: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_FieldName: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
_FileName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_Digest: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
_Words: TypeAlias = Annotated[str, Meta(max_length=32_768)]
_Label: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]

_Length: TypeAlias = Annotated[int, Meta(ge=1, le=200)]
_MetricName: TypeAlias = Annotated[str, Meta(pattern=f"^(?:{'|'.join(METRICS)})$")]


class InputField(Struct, frozen=True, forbid_unknown_fields=True):
    """One field of the input.

    Attributes:
        max_chars: longest value; a longer one is refused, never cut.
    """

    name: _FieldName
    max_chars: Annotated[int, Meta(ge=1, le=1_000_000)] = 8_000
    required: bool = True


class LabelForm(Struct, frozen=True, forbid_unknown_fields=True, tag_field="form", tag="labels"):
    """The answer is one of a set.

    Attributes:
        codes: the model's text for each label, where it is not the label itself.
        levels: parents of labels, such as a category and a chapter: a number of first characters,
            or a table from each label.
    """

    labels: Annotated[tuple[_Label, ...], Meta(min_length=2, max_length=MAX_LABELS)]
    codes: tuple[_Label, ...] = ()
    levels: dict[_FieldName, _Length | dict[str, _Label]] = msgspec.field(default_factory=dict)

    def at(self, level: str, label: str) -> str:
        rule = self.levels[level]
        return label[:rule] if isinstance(rule, int) else rule.get(label, label)

    def written(self, label: str) -> str:
        return self.codes[self.labels.index(label)] if self.codes else label


class JsonForm(Struct, frozen=True, forbid_unknown_fields=True, tag_field="form", tag="fields"):
    """The answer is JSON that a schema accepts.

    Attributes:
        schema: file of the JSON schema in the task's directory.
        encoding: `json`: the model writes the JSON; `values`: it writes one value a line in the
            schema's order, and the appliance writes the JSON.
    """

    schema: _FileName
    encoding: Literal["json", "values"] = "json"


class Text(Struct, frozen=True, forbid_unknown_fields=True, tag_field="form", tag="text"):
    """The answer is free text.

    Attributes:
        grammar: name of a grammar that was signed with the model.
        collection: documents that the answer must cite; the first input field is the question.
        quotes: the answer is only one sentence of a passage with its number, or the refusal.
        refusal: the answer where the documents prove none.
    """

    grammar: _FileName | None = None
    collection: _Id | None = None
    passages: Annotated[int, Meta(ge=1, le=50)] = 5
    quotes: bool = False
    refusal: Annotated[str, Meta(min_length=1, max_length=500)] = (
        "The documents do not answer this."
    )


Output: TypeAlias = LabelForm | JsonForm | Text


class Prompt(Struct, frozen=True, forbid_unknown_fields=True):
    """Rule that turns an input into a conversation.

    Attributes:
        user: sandboxed Jinja template of the user's message over the input fields.
        system: the system message, the same for every input; "" for none.
        examples: file of solved items of the split `train`, shown before the input.
    """

    user: Annotated[str, Meta(min_length=1, max_length=32_768)]
    system: _Words = ""
    examples: _FileName | None = None


class TaskAnswerer(Struct, frozen=True, forbid_unknown_fields=True):
    """The model or classifier that answers.

    Attributes:
        kind: `model`; `classifier`: coefficients in the task's directory, without a language model;
            `blend`: both, their distributions multiplied.
        model: id of a model or adapter in the registry; of a classifier by nearest neighbours, the
            model that embeds; "" for a classifier that needs none.
        digest: of `model`; the task is void for any other.
        classifier: file of the coefficients in the task's directory.
        weight: of the model in a blend; p is in proportion to model^weight * classifier^(1-weight).
    """

    kind: Literal["model", "classifier", "blend"] = "model"
    model: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,128}$")] = ""
    digest: _Digest = ""
    classifier: _FileName | None = None
    weight: Annotated[float, Meta(ge=0, le=1)] | None = None


class Gate(Struct, frozen=True, forbid_unknown_fields=True):
    """Requirements on a candidate before it serves.

    Attributes:
        margin: how much worse than the incumbent it may be, as a share.
        alpha: probability that a worse one passes, over all looks.
        floor: value of the metric that it must reach, whatever the incumbent does.
        baseline: the first incumbent: `majority`, `logistic regression`, or `none`, which answers
            nothing; by default the commonest label, and none for other forms.
    """

    metric: _MetricName
    margin: Annotated[float, Meta(gt=0, lt=1)]
    alpha: Annotated[float, Meta(gt=0, le=0.2)] = 0.05
    floor: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    baseline: Literal["", "majority", "logistic regression", "none"] = ""


class Task(Struct, frozen=True, forbid_unknown_fields=True):
    """One narrow job.

    Attributes:
        compare: rules of right values, by field; `text` for an answer of the form text.
        max_tokens: longest answer; 0 for what the form needs.
        on_defer: what an app gets for an input that no stage may answer: `error` (422
            `task_deferred`) or `queue` (422 `task_queued` with an id).
    """

    id: _Id
    version: Annotated[int, Meta(ge=1, le=1 << 53)]
    description: Annotated[str, Meta(min_length=1, max_length=500)]
    candidate: TaskAnswerer
    input: Annotated[tuple[InputField, ...], Meta(min_length=1, max_length=32)]
    prompt: Prompt
    output: Output
    gate: Gate
    max_tokens: Annotated[int, Meta(ge=0, le=32_768)] = 0
    on_defer: Literal["error", "queue"] = "error"
    compare: dict[str, Compare] = {}

    @property
    def fields(self) -> dict[str, InputField]:
        return {field.name: field for field in self.input}


def form_of(task: Task) -> Form:
    """The form of its answers."""
    output = task.output
    match output:
        case LabelForm():
            return "labels"
        case JsonForm():
            return "fields"
        case Text():
            return "text"
        case _:
            assert_never(output)


def parse(data: bytes) -> Task:
    """Read a `task.toml`.

    Raises:
        TaskRefused: `task_invalid`, naming the place in the file; `task_labels_ambiguous`.
    """
    if len(data) > MAX_BYTES:
        raise _invalid(f"it has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        task = msgspec.convert(tomllib.loads(data.decode("utf-8")), Task)
    except UnicodeDecodeError as error:
        raise _invalid("it is not UTF-8") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise _invalid(str(error)) from error
    _check_names(task)
    _check_candidate(task)
    if isinstance(task.output, LabelForm):
        _check_labels(task.output)
    return task


def _check_names(task: Task) -> None:
    if len(task.fields) != len(task.input):
        raise _invalid("two input fields have one name")
    if isinstance(task.output, LabelForm) and task.compare:
        raise _invalid("compare is for fields and text; a label is the same or it is wrong")
    if isinstance(task.output, Text) and set(task.compare) - {WHOLE}:
        raise _invalid(f"compare of an answer of the form text has one key, {WHOLE}")
    if isinstance(task.output, Text) and task.output.quotes and not task.output.collection:
        raise _invalid("output.quotes is for answers from a collection")
    if isinstance(task.output, Text) and task.output.quotes and task.output.grammar:
        raise _invalid("output.quotes and output.grammar exclude each other")


def _check_candidate(task: Task) -> None:
    candidate = task.candidate
    if bool(candidate.model) != bool(candidate.digest):
        raise _invalid("candidate.model and candidate.digest go together")
    if candidate.kind != "classifier" and not candidate.model:
        raise _invalid(f'candidate: kind = "{candidate.kind}" needs a model and its digest')
    if (candidate.kind == "model") == (candidate.classifier is not None):
        has = "has no" if candidate.kind == "model" else "needs a"
        raise _invalid(f'candidate: kind = "{candidate.kind}" {has} classifier')
    if (candidate.kind == "blend") != (candidate.weight is not None):
        has = "needs a" if candidate.kind == "blend" else "has no"
        raise _invalid(f'candidate: kind = "{candidate.kind}" {has} weight')
    if candidate.kind != "model" and not isinstance(task.output, LabelForm):
        raise _invalid(f'candidate: kind = "{candidate.kind}" answers with labels only')


def _check_labels(output: LabelForm) -> None:
    if output.codes and len(output.codes) != len(output.labels):
        raise _invalid("output.codes and output.labels differ in length")
    for name, rule in output.levels.items():
        if isinstance(rule, dict) and rule.keys() != set(output.labels):
            raise _invalid(f"output.levels.{name} has another set of labels than output.labels")
    if len(set(output.labels)) != len(output.labels):
        raise TaskRefused("task_labels_ambiguous", "A label occurs twice in output.labels.")
    for one, other in prefixes(output.codes or output.labels):
        raise TaskRefused(
            "task_labels_ambiguous",
            f"{one!r} is the beginning of {other!r}, so that one text would mean both.",
        )
    for words in (output.labels, output.codes):
        if any(word != word.strip() or not word.isprintable() for word in words):
            raise _invalid("a label begins or ends with a blank, or holds a control character")


def check_metric(task: Task) -> None:
    """Refuse a metric that does not measure answers of the form: TaskRefused (`task_metric_unfit`).

    `parse` does not ask, for tasks of older versions.
    """
    fit = that_fit(form_of(task))
    if task.gate.metric not in fit:
        raise TaskRefused(
            "task_metric_unfit",
            f"{task.gate.metric} does not measure answers in {form_of(task)}, but "
            f"{' or '.join(fit)} does.",
        )


def prefixes(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Pairs, the first a prefix of the second, or equal."""
    ordered = sorted(words)
    return [(a, b) for a, b in itertools.pairwise(ordered) if b.startswith(a)]


def parse_schema(data: bytes) -> ObjectSchema:
    """An object with named properties only.

    Keywords that the engine's grammars lack are refused by `enforced.check_form` for an author, and
    as `invalid_schema` for a request.

    Raises:
        TaskRefused: `task_schema_invalid`.
    """
    try:
        schema = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TaskRefused("task_schema_invalid", f"The schema is not JSON: {error}") from error
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise TaskRefused("task_schema_invalid", "The schema does not describe an object.")
    if not schema.get("properties") or schema.get("additionalProperties") is not False:
        raise TaskRefused(
            "task_schema_invalid",
            "The schema must name its properties and have `additionalProperties: false`.",
        )
    try:
        enforceable(checked_schema(json.dumps(schema)))
        json_validator(schema)
    except BadRequest as error:
        raise TaskRefused("task_schema_invalid", error.message) from error
    except ValueError as error:
        raise TaskRefused("task_schema_invalid", f"It is no schema: {error}"[:300]) from error
    return ObjectSchema(schema)


_invalid: Final = TaskRefused.of("task_invalid", "task.toml cannot be used")
