"""`route.toml`: a route, as its author wrote it.

Rules:
- An unknown key or value is refused, with its place in the file.
- The certified stage is first; then stages that answer whatever reaches them; people last.
- Every stage that answers names a task by its digest.
- One weighting holds for certificate, monitor, page and API.

docs/routes.md has the format.
"""

import tomllib
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from appliance.errors import TaskRefused

FILE: Final = "route.toml"
MAX_BYTES: Final = 64 << 10
DEFER: Final = "defer"
"""Where a rule sends an input that no stage may answer."""
KEY: Final = "key"
PERSON: Final = "person"
"""Where the group of a request may come from, besides a field of its input."""

_Id: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_Name: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
_Digest: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
_Share: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]
_Words: TypeAlias = tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...]

Weight: TypeAlias = Literal["groups", "answers"]
"""Of what an error is a share: of groups, which count alike, or of answers, which do."""

Script: TypeAlias = Literal[
    "latin", "cyrillic", "greek", "arabic", "hebrew", "cjk", "hiragana", "katakana", "hangul",
    "devanagari", "thai",
]  # fmt: skip
"""Scripts of a text: all that a rule knows of its language."""


class RouteRule(Struct, frozen=True, forbid_unknown_fields=True):
    """All stated conditions must hold.

    Attributes:
        to: first stage that may answer; `defer` for none.
        field: input field to examine; "" for all of them, one a line.
        longer_than: in characters.
        scripts: more than a tenth of its letters are in none of these scripts.
        contains: one of these texts is in it, case aside.
        keys: the app's key has one of these names.
    """

    to: _Name
    field: str = ""
    longer_than: Annotated[int, Meta(ge=0)] | None = None
    scripts: tuple[Script, ...] = ()
    contains: _Words = ()
    keys: _Words = ()


class StageDefinition(Struct, frozen=True, forbid_unknown_fields=True):
    """One stage.

    Attributes:
        kind: `task`: a task of the store answers; `upstream`: the task's prompt and form are sent
            to an engine on another host; `queue`: a person answers.
        task, digest: the task and its required digest; of a queue, none.
        upstream, model: of an upstream, its name in the configuration and the model's name there.
        p_true: of the first stage: a second call asks its model whether its answer is right.
        seconds: longest answer before the next stage is asked.
        at_once: concurrent requests of this route; more go to the next stage.
        hours: of a queue, how long an item waits for a person.
    """

    name: _Name
    kind: Literal["task", "upstream", "queue"] = "task"
    task: _Id | None = None
    digest: _Digest | None = None
    upstream: _Id | None = None
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    p_true: bool = False
    seconds: Annotated[float, Meta(gt=0, le=600)] = 60.0
    at_once: Annotated[int, Meta(ge=1, le=1024)] = 64
    hours: Annotated[float, Meta(gt=0, le=8760)] = 24.0


class Terms(Struct, frozen=True, forbid_unknown_fields=True):
    """Requirements on a certificate before the first stage answers anything.

    Attributes:
        error: largest share of wrong answers among those accepted from the first stage.
        delta: probability that a certificate promises too much, over all looks.
        margin: how much worse the whole route may be than its second stage only, as a share.
    """

    error: _Share
    delta: Annotated[float, Meta(gt=0, le=0.2)] = 0.05
    margin: _Share = 0.05


class RouteDefinition(Struct, frozen=True, forbid_unknown_fields=True):
    """One route.

    Attributes:
        rules: the first that holds decides.
        on_defer: what an app gets for an input that no stage may answer: `error` (422
            `task_deferred`) or `queue` (422 `task_queued` with an id, from the stage of kind
            `queue`).
        on_drift: what an alarm of drift on the first stage's task does to the certificate:
            `suspend` suspends it where `[drift] suspend` of the configuration is set, `warn`
            leaves it.
        weight: of what the certified error is a share.
        group_from: source of a request's group, as the dataset names it: `key`, the name of the
            app's key; `person`, the user that the request names; or a field of the input. "": none,
            so that groups cannot count alike.
    """

    id: _Id
    version: Annotated[int, Meta(ge=1, le=1 << 53)]
    description: Annotated[str, Meta(min_length=1, max_length=500)]
    terms: Terms
    stages: Annotated[tuple[StageDefinition, ...], Meta(min_length=1, max_length=8)]
    rules: Annotated[tuple[RouteRule, ...], Meta(max_length=64)] = ()
    on_defer: Literal["error", "queue"] = "error"
    on_drift: Literal["suspend", "warn"] = "suspend"
    weight: Weight = "answers"
    group_from: Annotated[str, Meta(max_length=64)] = ""

    @property
    def small(self) -> StageDefinition:
        return self.stages[0]

    @property
    def larger(self) -> tuple[StageDefinition, ...]:
        return tuple(stage for stage in self.stages[1:] if stage.kind != "queue")

    @property
    def queue(self) -> StageDefinition | None:
        return next((stage for stage in self.stages if stage.kind == "queue"), None)


def parse(data: bytes) -> RouteDefinition:
    """Read a `route.toml`.

    Raises:
        TaskRefused: `route_invalid`, naming the place in the file.
    """
    if len(data) > MAX_BYTES:
        raise invalid(f"it has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        values: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
        route = msgspec.convert(values, RouteDefinition)
    except UnicodeDecodeError as error:
        raise invalid("it is not UTF-8") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise invalid(str(error)) from error
    for stage in route.stages:
        _check_stage(stage)
    _check_order(route)
    if route.weight == "groups" and not route.group_from:
        raise invalid('weight = "groups" needs group_from: where the group of a request comes from')
    names = [stage.name for stage in route.stages]
    for rule in route.rules:
        _check_rule(rule, names)
    return route


def _check_stage(stage: StageDefinition) -> None:
    has_task = stage.task is not None and stage.digest is not None
    if (stage.task is None) != (stage.digest is None):
        raise invalid(f"stage {stage.name}: task and digest go together")
    if has_task == (stage.kind == "queue"):
        has = "has no" if has_task else "needs a"
        raise invalid(f'stage {stage.name}: kind = "{stage.kind}" {has} task')
    needs = stage.kind == "upstream"
    for field in ("upstream", "model"):
        if (getattr(stage, field) is not None) != needs:
            has = "needs" if needs else "has no"
            raise invalid(f'stage {stage.name}: kind = "{stage.kind}" {has} {field}')


def _check_order(route: RouteDefinition) -> None:
    kinds = [stage.kind for stage in route.stages]
    names = [stage.name for stage in route.stages]
    if len(set(names)) != len(names) or DEFER in names:
        raise invalid(f"two stages have one name, or one is called {DEFER}")
    if kinds[0] != "task":
        raise invalid("the first stage is a task of the store: it is the one that is certified")
    if any(stage.p_true for stage in route.stages[1:]):
        raise invalid("p_true is for the first stage: no confidence is asked of the others")
    if kinds.count("queue") > 1 or "queue" in kinds[:-1]:
        raise invalid("people are one stage, the last")
    if (route.on_defer == "queue") != (kinds[-1] == "queue"):
        raise invalid('on_defer = "queue" and a stage of kind "queue" go together')
    answering = [(s.task, s.digest, s.upstream, s.model) for s in route.stages if s.task]
    if len(set(answering)) != len(answering):
        raise invalid("two stages are the same")


def _check_rule(rule: RouteRule, names: list[str]) -> None:
    if rule.to != DEFER and rule.to not in names[1:]:
        raise invalid(f"a rule sends to {rule.to}; it may be {DEFER} or a stage after the first")
    if rule.longer_than is None and not (rule.scripts or rule.contains or rule.keys):
        raise invalid(f"the rule that sends to {rule.to} has no condition")


def invalid(reason: str) -> TaskRefused:
    """The refusal `route_invalid`."""
    return TaskRefused("route_invalid", f"{FILE} cannot be used: {reason}.")
