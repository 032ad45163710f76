"""A model that writes text, without a worker around it."""

import msgspec
import numpy as np
import pytest

from appliance.engine.generator import Generator
from appliance.engine.protocol import Load, Prepare, Tokenize
from appliance.engine.runner import Library, ModelRunner
from appliance.engine.worker import shapes
from appliance.errors import BadRequest
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Constraint, GenerationRequest, TaskNeeds, Unscored
from tests.prepare import prepare

LOAD = Load(
    variant="",
    n_ctx=256,
    slots=2,
    threads=1,
    prefill_budget=32,
    reproducible=False,
    memory_bytes=0,
    max_prepare_bytes=1 << 16,
)
TALK = ({"role": "user", "content": "Hello"},)


@pytest.fixture(scope="module")
def generator(library: Library, sealed_model: SealedFile) -> Generator:
    return Generator(ModelRunner(library, sealed_model.reopen(), shapes(LOAD)), LOAD)


def asked(**fields: object) -> Prepare:
    return prepare(4, seed=7, **fields)


def test_a_conversation_becomes_one_sequence_for_each_choice(generator: Generator) -> None:
    prepared, sequences = generator.prepare(asked(messages=TALK, n=2, max_tokens=5))
    assert (prepared.id, prepared.max_tokens) == (4, 5)
    assert [s.id for s in sequences] == [4, 5]
    assert [s.sampling.seed for s in sequences] == [7, 8]
    assert {len(s.tokens) for s in sequences} == {prepared.prompt_tokens}


def test_a_prompt_is_reused_for_the_same_app_and_the_same_documents(generator: Generator) -> None:
    needs = TaskNeeds(readable="d" * 64)
    _, (alone,) = generator.prepare(asked(messages=TALK, task=needs, scope="k1"))
    assert (alone.scope, alone.readable) == ("k1", "d" * 64)


def test_a_constraint_guides_each_sequence(generator: Generator) -> None:
    free, guided = asked(prompt="x"), asked(prompt="x", constraint=Constraint("regex", "[ab]"))
    assert generator.prepare(free)[1][0].guide is None
    assert generator.prepare(guided)[1][0].guide is not None


@pytest.mark.parametrize("reproducible", [False, True])
def test_labels_that_cannot_win_stay_out_in_both_modes(
    library: Library, sealed_model: SealedFile, reproducible: bool
) -> None:
    load = msgspec.structs.replace(LOAD, reproducible=reproducible)
    made = Generator(ModelRunner(library, sealed_model.reopen(), shapes(load)), load)
    needs = TaskNeeds(labels=(" pump hose", " engine oil"), unscored=Unscored(1e-3))
    labels = made.prepare(asked(prompt="x", task=needs))[1][0].labels
    assert labels is not None
    row = np.zeros(made.engine.model.n_vocab, np.float32)
    row[labels.paths[0][0]] = 99
    labels.tell_prompt(row)
    assert len(labels.paths) == 1


def test_a_template_that_asks_for_the_date_gets_that_of_the_request(
    library: Library, sealed_model: SealedFile
) -> None:
    load = msgspec.structs.replace(LOAD, template="{{ strftime_now('%d %b %Y') }}")
    made = Generator(ModelRunner(library, sealed_model.reopen(), shapes(load)), load)
    now, again, other = (
        made.prepare(asked(messages=TALK, clock_s=clock))[0] for clock in (None, 7, 90_000)
    )
    assert now.clock_s is not None and again.clock_s == 7
    told = made.prepare(asked(messages=TALK, clock_s=now.clock_s))[0]
    assert told.prompt == now.prompt != again.prompt != other.prompt
    assert made.prepare(asked(prompt="x"))[0].clock_s is None


def test_messages_of_this_model_take_at_least_so_many_tokens(generator: Generator) -> None:
    assert generator.fewest >= 4
    few = generator.tokenize(Tokenize(1, GenerationRequest("", messages=TALK * 2))).tokens
    many = generator.tokenize(Tokenize(1, GenerationRequest("", messages=TALK * 22))).tokens
    assert len(many) - len(few) >= 20 * generator.fewest


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"prompt": "x", "adapter": "none"}, "adapter_unloaded"),
        ({"prompt": ""}, "invalid_value"),
        ({"messages": TALK * 200}, "context_length_exceeded"),
        ({"prompt": "x", "constraint": Constraint("regex", "(")}, "invalid_schema"),
    ],
)
def test_what_cannot_run_is_refused(
    generator: Generator, fields: dict[str, object], code: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        generator.prepare(asked(**fields))
    assert caught.value.code == code
