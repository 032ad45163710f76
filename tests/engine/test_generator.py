"""What a worker does with a model that writes text, without a worker around it."""

import msgspec
import pytest

from appliance.engine.generator import Generator
from appliance.engine.protocol import Load, Prepare, Tokenize
from appliance.engine.runner import Library, Runner
from appliance.engine.worker import shapes
from appliance.errors import BadRequest
from appliance.trust.sealed import SealedFile
from appliance.types import Constraint, Sampling

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
    return Generator(Runner(library, sealed_model.reopen(), shapes(LOAD)), LOAD)


def asked(**fields: object) -> Prepare:
    return msgspec.structs.replace(Prepare(4, Sampling(seed=7)), **fields)


def test_a_conversation_becomes_one_sequence_for_each_choice(generator: Generator) -> None:
    prepared, sequences = generator.prepare(asked(messages=TALK, choices=2, max_tokens=5))
    assert (prepared.id, prepared.max_tokens) == (4, 5)
    assert [s.id for s in sequences] == [4, 5]
    assert [s.sampling.seed for s in sequences] == [7, 8]
    assert {len(s.tokens) for s in sequences} == {prepared.prompt_tokens}


def test_a_constraint_guides_each_sequence(generator: Generator) -> None:
    free, guided = asked(prompt="x"), asked(prompt="x", constraint=Constraint("regex", "[ab]"))
    assert generator.prepare(free)[1][0].guide is None
    assert generator.prepare(guided)[1][0].guide is not None


def test_messages_of_this_model_take_at_least_so_many_tokens(generator: Generator) -> None:
    assert generator.fewest >= 4
    few = generator.tokenize(Tokenize(1, messages=TALK * 2)).tokens
    many = generator.tokenize(Tokenize(1, messages=TALK * 22)).tokens
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
