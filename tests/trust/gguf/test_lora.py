"""GGUF files of adapters: everything but a plain LoRA is refused with its code."""

import math
from collections.abc import Callable

import pytest

from appliance.errors import GgufRejected
from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.lora import MAX_FILE, MAX_RANK, Pair, check_shapes, vet_lora
from appliance.trust.gguf.reader import Kind
from tests.trust import forge
from tests.trust.forge import Gguf, Tensor, lora, scalar, string, u32

Change = Callable[[Gguf], object]
A, B = "output.weight.lora_a", "output.weight.lora_b"


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(GgufRejected) as caught:
        action()
    return caught.value.code


def test_a_good_adapter() -> None:
    found = vet_lora(lora().build())
    assert (found.architecture, found.rank, found.alpha, found.name) == (
        "llama", 2, 4.0, "tiny adapter",
    )  # fmt: skip
    assert found.pairs == {"output.weight": Pair((32, 2), (2, 8))}
    assert found.tensor_bytes == 32 * 2 * 4 + 2 * 8 * 4
    check_shapes(found, vet(Gguf().build()))


def pair(key: str, value: bytes) -> Change:
    return lambda gguf: gguf.pairs.update({key: value})


def without(key: str) -> Change:
    return lambda gguf: gguf.pairs.pop(key)


def tensors(*rows: Tensor) -> Change:
    def change(gguf: Gguf) -> None:
        gguf.tensors = list(rows)

    return change


def more(name: str) -> Change:
    return lambda gguf: gguf.tensors.append(Tensor(name, (32, 2), 0, 32 * 2 * 4))


BAD: dict[str, tuple[Change, str]] = {
    "a model": (lambda g: g.pairs.update(Gguf().pairs, **{"general.type": string("model")}),
                "model_in_adapter_place"),
    "no type": (without("general.type"), "model_in_adapter_place"),
    "a type that is no text": (pair("general.type", u32(1)), "gguf_value"),
    "a control vector": (pair("adapter.type", string("controlvector")), "adapter_unsupported"),
    "no adapter type": (without("adapter.type"), "gguf_value"),
    "activated by tokens": (
        pair("adapter.alora.invocation_tokens", forge.array(Kind.UINT32, [1])),
        "adapter_unsupported",
    ),
    "a prompt of its own": (pair("adapter.lora.prompt_prefix", string("x")), "adapter_unsupported"),
    "a template": (pair("tokenizer.chat_template", string("x")), "adapter_unsupported"),
    "an unlisted architecture": (
        pair("general.architecture", string("mamba")), "gguf_architecture",
    ),
    "no alpha": (without("adapter.lora.alpha"), "gguf_value"),
    "alpha as an integer": (pair("adapter.lora.alpha", u32(4)), "gguf_value"),
    "alpha 0": (pair("adapter.lora.alpha", scalar(Kind.FLOAT32, 0.0)), "gguf_value"),
    "alpha NaN": (pair("adapter.lora.alpha", scalar(Kind.FLOAT32, math.nan)), "gguf_value"),
    "alpha infinite": (pair("adapter.lora.alpha", scalar(Kind.FLOAT32, math.inf)), "gguf_value"),
    "a norm": (more("blk.0.attn_norm.weight"), "adapter_unsupported"),
    "a pair for a norm": (more("blk.0.attn_norm.weight.lora_a"), "adapter_unsupported"),
    "token embeddings": (more("token_embd.weight.lora_a"), "adapter_unsupported"),
    "a name with two ends": (more("output.weight.lora_a.lora_a"), "adapter_unsupported"),
    "half a pair": (more("blk.0.attn_q.weight.lora_a"), "adapter_shape"),
    "an integer matrix": (
        tensors(Tensor(A, (32, 2), 26, 256), Tensor(B, (2, 8), 0, 64)), "adapter_unsupported",
    ),
    "ranks that differ": (
        tensors(Tensor(A, (32, 2), 0, 256), Tensor(B, (4, 8), 0, 128)), "adapter_shape",
    ),
    "transposed": (tensors(Tensor(A, (2, 32), 0, 256), Tensor(B, (8, 2), 0, 64)), "adapter_shape"),
    "of experts": (
        tensors(Tensor(A, (32, 2, 2), 0, 512), Tensor(B, (2, 8, 2), 0, 128)), "adapter_shape",
    ),
    "too large a rank": (
        tensors(
            Tensor(A, (32, MAX_RANK + 1), 8, 34 * (MAX_RANK + 1)),
            Tensor(B, (MAX_RANK + 1, 8), 1, 16 * (MAX_RANK + 1)),
        ),
        "gguf_limit",
    ),
    "trailing bytes": (lambda g: setattr(g, "tail", b"x"), "gguf_trailing"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), BAD.values(), ids=BAD)
def test_refused(change: Change, code: str) -> None:
    gguf = lora()
    change(gguf)
    assert code_of(lambda: vet_lora(gguf.build())) == code


def test_a_file_that_is_too_large() -> None:
    assert code_of(lambda: vet_lora(lora().build(), MAX_FILE + 1)) == "gguf_limit"


def test_an_adapter_is_no_model() -> None:
    assert code_of(lambda: vet(lora().build())) == "adapter_in_model_place"


def other_base(change: Change) -> str:
    base = Gguf()
    change(base)
    return code_of(lambda: check_shapes(vet_lora(lora().build()), vet(base.build())))


def test_a_base_that_it_does_not_fit() -> None:
    def nvfp4(base: Gguf) -> None:
        base.tensors[-1] = Tensor("output.weight", (64, 8), 40, 8 * 36)

    assert other_base(lambda b: b.tensors.pop()) == "adapter_shape"  # tied to the embeddings
    wider = Tensor("output.weight", (32, 9), 0, 32 * 9 * 4)
    assert other_base(lambda b: b.tensors.__setitem__(2, wider)) == "adapter_shape"
    assert other_base(pair("llama.pooling_type", u32(1))) == "adapter_unsupported"
    wide = lora()
    wide.tensors[0] = Tensor(A, (64, 2), 0, 64 * 2 * 4)
    base = Gguf()
    nvfp4(base)
    found = vet_lora(wide.build())
    assert code_of(lambda: check_shapes(found, vet(base.build()))) == "adapter_unsupported"


def test_an_adapter_for_another_architecture() -> None:
    gguf = lora()
    gguf.pairs["general.architecture"] = string("gemma3")
    found = vet_lora(gguf.build())
    assert code_of(lambda: check_shapes(found, vet(Gguf().build()))) == "adapter_shape"
