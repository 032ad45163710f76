"""What a GGUF file is for follows from its pooling; a reranker without what it needs is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import GgufRejected
from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.reader import Kind
from tests.trust.forge import Gguf, Tensor, array, string, u32

WORDS = ["[PAD]", *(f"[unused{n}]" for n in range(1, 104)), "a"]
HEAD = Tensor("cls.output.weight", (32, 1), 0, 32 * 4)
Change = Callable[[Gguf], object]


def encoder(pooling: int = 1) -> Gguf:
    """A small BERT."""
    gguf = Gguf()
    gguf.pairs = {
        str(key).replace("llama.", "bert."): value
        for key, value in gguf.pairs.items()
        if not str(key).startswith("tokenizer.")
    }
    gguf.pairs["general.architecture"] = string("bert")
    gguf.pairs["bert.pooling_type"] = u32(pooling)
    gguf.pairs["tokenizer.ggml.model"] = string("bert")
    gguf.pairs["tokenizer.ggml.tokens"] = array(Kind.STRING, WORDS)
    gguf.pairs["tokenizer.ggml.token_type_count"] = u32(1)
    if pooling == 4:
        gguf.tensors.append(HEAD)
    return gguf


def code(gguf: Gguf) -> str:
    with pytest.raises(GgufRejected) as caught:
        vet(gguf.build())
    return caught.value.code


def put(key: str, value: bytes) -> Change:
    return lambda gguf: gguf.pairs.__setitem__(key, value)


@pytest.mark.parametrize("pooling", [1, 2, 3])
def test_an_encoder_that_pools_embeds(pooling: int) -> None:
    facts = vet(encoder(pooling).build())
    assert (facts.kind, facts.encodes) == ("embed", True)
    assert facts.summary()["kind"] == "embed"


def test_a_decoder_writes_text_unless_it_pools() -> None:
    gguf = Gguf()
    assert (vet(gguf.build()).kind, vet(gguf.build()).encodes) == ("generate", False)
    gguf.pairs["llama.pooling_type"] = u32(0)
    assert vet(gguf.build()).kind == "generate"
    gguf.pairs["llama.pooling_type"] = u32(3)
    assert vet(gguf.build()).kind == "embed"
    gguf.pairs["llama.pooling_type"] = u32(4)
    assert code(gguf) == "rerank_unusable"


@pytest.mark.parametrize("pooling", [0, 5, 2**32 - 1])
def test_an_encoder_without_a_known_pooling_is_refused(pooling: int) -> None:
    assert code(encoder(pooling)) == "gguf_value"


def test_an_encoder_with_a_head_reranks() -> None:
    assert vet(encoder(4).build()).kind == "rerank"


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g.tensors.pop(),
        lambda g: g.tensors.__setitem__(-1, Tensor(HEAD.name, (32, 2), 0, 32 * 8)),
        put("bert.classifier.output_labels", array(Kind.STRING, ["no", "yes"])),
        put("tokenizer.ggml.token_type_count", u32(2)),
    ],
    ids=["no head", "two scores", "two labels", "token types"],
)
def test_a_reranker_whose_scores_would_be_wrong_is_refused(change: Change) -> None:
    gguf = encoder(4)
    change(gguf)
    assert code(gguf) == "rerank_unusable"


@pytest.mark.parametrize(
    "change",
    [
        put("tokenizer.ggml.model", string("llama")),
        put("tokenizer.ggml.tokens", array(Kind.STRING, WORDS[:103])),
        put("tokenizer.ggml.cls_token_id", u32(len(WORDS))),
    ],
    ids=["another tokenizer", "no special tokens", "an id outside"],
)
def test_the_tokenizer_must_be_wordpiece_with_its_special_tokens(change: Change) -> None:
    gguf = encoder()
    change(gguf)
    assert code(gguf) == "gguf_tokenizer"


def test_a_decoder_may_not_bring_wordpiece() -> None:
    gguf = Gguf()
    gguf.pairs["tokenizer.ggml.model"] = string("bert")
    assert code(gguf) == "gguf_tokenizer"


def test_real_files(embedder_path: Path, reranker_path: Path) -> None:
    assert vet(embedder_path.read_bytes()).kind == "embed"
    assert vet(reranker_path.read_bytes()).kind == "rerank"
