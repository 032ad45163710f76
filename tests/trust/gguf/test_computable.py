"""Refusal of files on which llama.cpp would abort, and of no others."""

import struct
from collections.abc import Callable

import pytest

from appliance.errors import GgufRejected
from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.reader import Kind
from appliance.trust.gguf.tensors import TYPES
from tests.fuzz.tiny_models import EMBD, F32, MODELS, f32, lfm2, size_of, tensor
from tests.trust.forge import Gguf, array, scalar, string, u32

Change = Callable[[Gguf], object]
NAN, INFINITY = float("nan"), float("inf")


def code(change: Change, model: Callable[[], Gguf] = MODELS["llama"]) -> str | None:
    made = model()
    change(made)
    try:
        vet(build(made))
    except GgufRejected as error:
        return error.code
    return None


def build(made: Gguf) -> bytes:
    head = made.table()
    body = sum(row.bytes + -row.bytes % 32 for row in made.tensors)
    return head + bytes(-len(head) % 32 + body)


def put(key: str, value: bytes) -> Change:
    return lambda made: made.pairs.__setitem__(f"llama.{key}", value)


def both(*changes: Change) -> Change:
    return lambda made: [change(made) for change in changes]


def typed(name: str, kind: int) -> Change:
    def change(made: Gguf) -> None:
        row = next(row for row in made.tensors if row.name == name)
        row.type, row.bytes = kind, size_of(row.shape, kind)

    return change


@pytest.mark.parametrize("architecture", MODELS)
def test_whole_models_are_accepted(architecture: str) -> None:
    vet(build(MODELS[architecture]()))


COMPUTED: dict[str, Change] = {
    "experts": both(put("expert_count", u32(8)), put("expert_used_count", u32(2))),
    "experts by layer": both(
        put("expert_count", u32(8)), put("expert_used_count", array(Kind.UINT32, [2, 0]))
    ),
    "groups of experts": both(
        put("expert_count", u32(8)),
        put("expert_used_count", u32(2)),
        put("expert_group_count", u32(4)),
        put("expert_group_used_count", u32(2)),
    ),
    "no experts": put("expert_count", u32(0)),
    "a head of its own size": both(
        put("attention.key_length", u32(16)),
        put("attention.value_length", u32(16)),
        put("rope.dimension_count", u32(16)),
    ),
    "a window's head of its own size": both(
        put("attention.key_length_swa", u32(16)),
        put("attention.value_length_swa", u32(16)),
        put("rope.dimension_count_swa", u32(16)),
    ),
    "yarn": put("rope.scaling.type", string("yarn")),
    "an epsilon of 0": put("attention.layer_norm_rms_epsilon", f32(0.0)),
    "a matrix of a gate": lambda made: made.tensors.append(
        tensor("blk.0.ffn_gate_inp.weight", (EMBD, 8), 1)
    ),
}


@pytest.mark.parametrize("change", COMPUTED.values(), ids=COMPUTED)
def test_what_can_be_computed_is_accepted(change: Change) -> None:
    assert code(change) is None


NUMBERS: dict[str, Change] = {
    "no rotation": put("rope.dimension_count", u32(0)),
    "an odd rotation": put("rope.dimension_count", u32(33)),
    "a rotation wider than a head": put("rope.dimension_count", u32(66)),
    "no rotation in a window": put("rope.dimension_count_swa", u32(0)),
    "an odd head": both(
        put("attention.key_length", u32(63)),
        put("attention.value_length", u32(63)),
        put("rope.dimension_count", u32(63)),
    ),
    "half of a head turned": put("rope.dimension_count", u32(32)),
    "keys longer than values": put("attention.key_length", u32(128)),
    "keys longer than values in a window": put("attention.key_length_swa", u32(128)),
    "epsilon not a number": put("attention.layer_norm_rms_epsilon", f32(NAN)),
    "epsilon infinite": put("attention.layer_norm_rms_epsilon", f32(INFINITY)),
    "epsilon negative": put("attention.layer_norm_rms_epsilon", f32(-1e-6)),
    "epsilon above 1": put("attention.layer_norm_epsilon", f32(2.0)),
    "a base that is infinite": put("rope.freq_base", f32(-INFINITY)),
    "a list with what is not a number": put("xielu.beta", array(Kind.FLOAT32, [0.0, NAN])),
    "a double that is not a number": put("logit_scale", scalar(Kind.FLOAT64, NAN)),
    "too many experts": both(put("expert_count", u32(1025)), put("expert_used_count", u32(1))),
    "more experts used than there are": both(
        put("expert_count", u32(2)), put("expert_used_count", u32(3))
    ),
    "experts of which none is used": put("expert_count", u32(2)),
    "used experts without any": put("expert_used_count", u32(1)),
    "used experts as booleans": put("expert_used_count", array(Kind.BOOL, [0, 1])),
    "groups without experts": put("expert_group_count", u32(1)),
    "groups that do not divide": both(
        put("expert_count", u32(8)),
        put("expert_used_count", u32(2)),
        put("expert_group_count", u32(3)),
    ),
    "groups of which none is used": both(
        put("expert_count", u32(8)),
        put("expert_used_count", u32(2)),
        put("expert_group_count", u32(4)),
    ),
    "more layers ahead than layers": put("nextn_predict_layers", u32(3)),
    "an unknown scaling": put("rope.scaling.type", string("spiral")),
}


@pytest.mark.parametrize("change", NUMBERS.values(), ids=NUMBERS)
def test_numbers_that_no_graph_can_be_made_of_are_refused(change: Change) -> None:
    assert code(change) == "gguf_value"


@pytest.mark.parametrize("kind", ["Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"])
def test_weights_that_no_kernel_reads_are_refused(kind: str) -> None:
    number = next(number for number, known in TYPES.items() if known.name == kind)
    for name in ("token_embd.weight", "blk.0.attn_q.weight", "output.weight"):
        assert code(typed(name, number)) == "gguf_tensor_type"


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q8_0", "Q6_K", "IQ4_XS", "MXFP4"])
def test_weights_that_kernels_read_are_accepted(kind: str) -> None:
    number = next(number for number, known in TYPES.items() if known.name == kind)
    assert code(typed("blk.0.attn_q.weight", number)) is None


@pytest.mark.parametrize("name", ["output_norm.weight", "blk.1.ffn_norm.weight"])
@pytest.mark.parametrize("kind", [1, 8, 30])
def test_what_is_multiplied_in_place_must_be_f32(name: str, kind: int) -> None:
    assert code(typed(name, kind)) == "gguf_tensor_type"


def test_biases_of_experts_must_be_f32_though_they_are_matrices() -> None:
    def bias(kind: int) -> Change:
        return lambda made: made.tensors.append(tensor("blk.0.ffn_up_exps.bias", (EMBD, 4), kind))

    assert code(bias(F32)) is None
    assert code(bias(1)) == "gguf_tensor_type"


@pytest.mark.parametrize(("turned", "refused"), [(32, False), (64, False), (0, True), (33, True)])
def test_gemma_may_turn_a_part_of_a_head(turned: int, refused: bool) -> None:
    made = MODELS["gemma"]()
    made.pairs["gemma.rope.dimension_count"] = u32(turned)
    if not refused:
        vet(build(made))
        return
    with pytest.raises(GgufRejected) as caught:
        vet(build(made))
    assert caught.value.code == "gguf_value"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda made: None, None),
        (lambda made: made.pairs.__setitem__("lfm2.shortconv.l_cache", u32(1)), "gguf_value"),
        (lambda made: made.pairs.pop("lfm2.shortconv.l_cache"), "gguf_value"),
        (lambda made: made.pairs.__setitem__("lfm2.attention.key_length", u32(32)), "gguf_value"),
        (typed("blk.0.shortconv.conv.weight", 1), "gguf_tensor_type"),
        (typed("blk.0.shortconv.in_proj.weight", 1), None),
    ],
)
def test_short_convolutions_look_back_and_are_f32(change: Change, refusal: str | None) -> None:
    assert code(change, lfm2) == refusal


def test_the_epsilon_of_another_architecture_is_not_looked_at() -> None:
    assert code(lambda made: made.pairs.__setitem__("other.epsilon", f32(NAN))) is None
    assert struct.unpack("<f", f32(NAN)[4:])[0] != 0  # the control: it is what it says
