"""A task answers in its form, over the real model; what the app must not bring is refused."""

import asyncio
import json
import math
from array import array
from dataclasses import replace

import jsonschema_rs
import pytest

from appliance.app import Services
from appliance.errors import BadRequest, TaskRefused
from appliance.serving.backend import inner
from appliance.serving.local_worker import LocalWorkers
from appliance.statistics.labels import blended, distribution, prior
from appliance.tasks import labelled, values
from appliance.tasks.backend import TOLERANCE, TaskBackend
from appliance.tasks.definition import LabelForm
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.schemas import ObjectSchema
from appliance.types import Constraint, Delta, GenerationRequest, Principal, Sampling, Unscored
from tests.smol import ID
from tests.tasks.example import BLEND, FIELDS, LABELS, SCHEMA, coefficients
from tests.tasks.test_loaded import EXAMPLES, SHOWN, loaded

pytestmark = pytest.mark.asyncio(loop_scope="module")
APP = Principal("k1", "app")
ASKED = GenerationRequest(model="t", messages=({"role": "user", "content": "no start"},))
_SAMPLES = 50
TEXT = LABELS.split("[output]")[0] + '[output]\nform = "text"\n[gate]' + LABELS.split("[gate]")[1]


@pytest.fixture
def ready(shared: Services) -> Services:
    return shared


async def backend(services: Services, task: LoadedTask) -> TaskBackend:
    place = services.shares.admit(APP, ID, 2)
    try:
        model = await LocalWorkers(services.pool, services.supervisor).open(ID, "k1", place)
    finally:
        place.leave(0, 0)
    return TaskBackend(task, model)


async def answered(over: TaskBackend, asked: GenerationRequest = ASKED) -> list[Delta]:
    prepared = await over.prepare(asked, APP, seed=1)
    return [delta async for delta in over.run(prepared)]


async def test_labels_come_as_the_likeliest_one_with_the_distribution(ready: Services) -> None:
    over = await backend(ready, loaded(SHOWN, examples_jsonl=EXAMPLES))
    (delta,) = await answered(over)
    about = delta.about
    assert about is not None and delta.finish_reason == "stop" and delta.vector == b""
    shares = dict(about.distribution)
    assert list(shares) == ["hydraulics", "engine", "electrical"]
    assert sum(shares.values()) == pytest.approx(1)
    assert delta.text == max(shares, key=lambda label: shares[label])
    assert about.confidence == shares[delta.text]
    assert (about.task, about.version, about.stage) == ("excavator-system", 1, "smollm2-135m")
    assert over.card.id == "excavator-system"


async def test_what_cannot_win_may_stay_unscored_in_a_blend_by_both_distributions(
    ready: Services,
) -> None:
    alone = await backend(ready, loaded(LABELS))
    assert alone.asked(ASKED).task.unscored == Unscored(TOLERANCE)
    sure = ASKED.needing(decisions=True)  # a route wants odds, which need exact tails
    assert alone.asked(sure).task.unscored is None
    both = await backend(ready, loaded(BLEND, classifier_json=coefficients()))
    assert inner(await both.prepare(sure, APP, seed=1)).request.task.unscored is None
    prepared = await both.prepare(ASKED, APP, seed=1)
    classifier, output = both.loaded.classifier, both.loaded.task.output
    assert classifier is not None and isinstance(output, LabelForm)
    other = labelled.judged(classifier, output, "no start")
    assert inner(prepared).request.task.unscored == Unscored(TOLERANCE, 0.5, prior(other, 0.5))
    (delta,) = [delta async for delta in both.run(prepared)]
    exact = inner(prepared).request.needing(unscored=None)
    scored = [d async for d in both.model.run(await both.model.prepare(exact, APP, 1))]
    whole = blended(distribution(array("f", scored[-1].vector)), other, 0.5)
    assert delta.about is not None
    told = [share for _, share in delta.about.distribution]
    assert told == pytest.approx(whole, abs=0.02)  # and what company changes


async def test_scores_do_not_depend_on_temperature_or_seed(ready: Services) -> None:
    over = await backend(ready, loaded(LABELS))
    hot = replace(ASKED, sampling=Sampling(temperature=2.0, top_k=1), seed=99)
    (one,), (other,) = await answered(over), await answered(over, hot)
    assert one.about is not None and other.about is not None
    pairs = zip(one.about.distribution, other.about.distribution, strict=True)
    assert all(math.isclose(a[1], b[1], abs_tol=0.02) for a, b in pairs)


async def test_values_leave_as_json_that_the_schema_accepts(ready: Services) -> None:
    over = await backend(ready, loaded(FIELDS, schema_json=json.dumps(SCHEMA)))
    small = {**SCHEMA, "properties": {"side": {"enum": ["left", "right", None]}}}
    small["required"] = ["side"]
    over = replace(over, loaded=loaded(FIELDS, schema_json=json.dumps(small)))
    (delta,) = await answered(over)
    answer = json.loads(delta.text)
    assert jsonschema_rs.is_valid(small, answer)
    assert delta.finish_reason == "stop" and delta.about is not None


SIDES: dict[str, object] = {
    "type": "object",
    "properties": {
        "system": {"enum": ["hydraulics", "engine", None]},
        "kind": {"const": "work order"},
        "side": {"enum": ["left", "right", None]},
    },
    "required": ["system", "kind", "side"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("encoding", ["values", "json"])
async def test_fields_tell_how_sure_the_model_was_of_each(ready: Services, encoding: str) -> None:
    """Of the constant nothing is reported; and only if requested."""
    toml = FIELDS.replace('"values"', f'"{encoding}"')
    over = await backend(ready, loaded(toml, schema_json=json.dumps(SIDES)))
    sure = ASKED.needing(decisions=True)
    (delta,) = await answered(over, sure)
    assert jsonschema_rs.is_valid(SIDES, json.loads(delta.text)) and delta.decided == ()
    assert delta.about is not None
    told = {field.name: field for field in delta.about.decided}
    assert list(told) == ["system", "side"]
    for field in told.values():
        assert field.least <= field.quantiles[0] <= field.quantiles[1] <= field.quantiles[2] <= 0
        assert field.least <= field.mean <= 0 <= field.margin and field.mass <= 0 <= field.entropy
    assert list(delta.about.document()["fields"]) == list(told)
    *_, last = await answered(over)
    assert last.about is not None and last.about.decided == ()
    # What the app asks for elsewhere, and who asks beside it, change nothing.
    hot = replace(sure, sampling=Sampling(temperature=2.0, top_k=5), seed=99)
    (again,), *_ = await asyncio.gather(answered(over, hot), answered(over), answered(over))
    assert again.about is not None
    for one, other in zip(delta.about.decided, again.about.decided, strict=True):
        assert (one.name, one.tokens) == (other.name, other.tokens)
        for name in ("least", "mean", "margin", "entropy", "mass"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=0.25)


async def test_the_agreement_of_samples_is_known_without_any(ready: Services) -> None:
    """From log-probabilities."""
    over = await backend(ready, loaded(FIELDS, schema_json=json.dumps(SIDES)))
    (delta,) = await answered(over, ASKED.needing(decisions=True))
    assert delta.about is not None
    expected = math.exp(math.fsum(field.alike for field in delta.about.decided))
    bare = replace(over.asked(ASKED), sampling=Sampling())

    async def same(seed: int) -> bool:
        prepared = await over.model.prepare(bare, APP, seed)
        text = "".join([piece.text async for piece in over.model.run(prepared)])
        return bool(values.read(ObjectSchema(SIDES), text) == json.loads(delta.text))

    found = [await same(seed) for seed in range(_SAMPLES)]
    deviation = math.sqrt(expected * (1 - expected) / _SAMPLES)
    assert 0.05 < expected < 0.95
    assert sum(found) / _SAMPLES == pytest.approx(expected, abs=4 * deviation)


async def test_json_streams_and_text_is_free(ready: Services) -> None:
    small: dict[str, object] = {"type": "object", "required": ["a"]}
    small["properties"] = {"a": {"enum": ["x", "y"]}}
    small |= {"additionalProperties": False}
    toml = FIELDS.replace('"values"', '"json"')
    pieces = await answered(await backend(ready, loaded(toml, schema_json=json.dumps(small))))
    assert json.loads("".join(piece.text for piece in pieces))["a"] in ("x", "y")
    assert [piece.about is not None for piece in pieces][-1]
    limited = TEXT.replace("version = 1", "version = 1\nmax_tokens = 3")
    pieces = await answered(await backend(ready, loaded(limited)))
    assert sum(piece.tokens for piece in pieces) == 3


async def test_an_answer_that_breaks_the_form_is_an_error(ready: Services) -> None:
    toml = FIELDS.replace("version = 1", "version = 1\nmax_tokens = 1")
    over = await backend(ready, loaded(toml, schema_json=json.dumps(SCHEMA)))
    with pytest.raises(TaskRefused) as caught:
        await answered(over)
    assert caught.value.code == "task_answer_invalid"


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"constraint": Constraint("json_object", "")}, "response_format"),
        ({"n": 2}, "n"),
        ({"logprobs": 1}, "logprobs"),
        ({"echo": True}, "echo"),
        ({"stop": ("x",)}, "stop"),
        ({"sampling": Sampling(logit_bias=((1, 1.0),))}, "logit_bias"),
        ({"min_tokens": 2}, "min_tokens"),
        ({"ignore_eos": True}, "ignore_eos"),
    ],
)
async def test_what_the_task_has_set_cannot_be_brought(
    ready: Services, asked: dict[str, object], named: str
) -> None:
    over = await backend(ready, loaded(LABELS))
    with pytest.raises(BadRequest) as caught:
        over.asked(replace(ASKED, **asked))  # type: ignore[arg-type]  # fields of several types
    assert (caught.value.code, caught.value.param) == ("task_parameter", named)


async def test_a_task_takes_one_message_or_a_prompt(ready: Services) -> None:
    over = await backend(ready, loaded(LABELS))
    prompted = over.asked(GenerationRequest(model="t", prompt="no start"))
    assert prompted.messages == over.asked(ASKED).messages
    assert prompted.prompt is None
    turn = {"role": "user", "content": "no start"}
    for asked in (
        replace(ASKED, messages=(turn, {"role": "assistant", "content": "engine"}, turn)),
        replace(ASKED, messages=({"role": "system", "content": "a"},)),
        replace(ASKED, messages=()),
        GenerationRequest(model="t", tokens=(1, 2)),
    ):
        with pytest.raises(BadRequest) as caught:
            over.asked(asked)
        assert caught.value.code == "task_input_invalid"
