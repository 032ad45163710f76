"""A GGUF file's purpose follows from its pooling; an incomplete reranker is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import GgufRejected
from appliance.trust.gguf.gguf import encodes, vet
from appliance.trust.gguf.reader import Kind
from tests.trust.forge import Gguf, Tensor, array, string, u32

WORDS = ["[PAD]", *(f"[unused{n}]" for n in range(1, 104)), "a"]
HEAD = Tensor("cls.output.weight", (32, 1), 0, 32 * 4)
Change = Callable[[Gguf], object]


def encoder(pooling: int = 1) -> Gguf:
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
    assert (facts.kind, encodes(facts)) == ("embed", True)
    assert facts.kept().kind == "embed"


def test_a_decoder_writes_text_unless_it_pools() -> None:
    gguf = Gguf()
    assert (vet(gguf.build()).kind, encodes(vet(gguf.build()))) == ("generate", False)
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


def unigram(pooling: int = 1) -> Gguf:
    """A small XLM-R, as bge-m3, multilingual-e5 and bge-reranker-v2-m3 are converted."""
    gguf = encoder(pooling)
    gguf.pairs["tokenizer.ggml.model"] = string("t5")
    gguf.pairs["tokenizer.ggml.tokens"] = array(Kind.STRING, ["<s>", "<pad>", "</s>", "<unk>"])
    gguf.pairs["tokenizer.ggml.scores"] = array(Kind.FLOAT32, [0.0] * 4)
    gguf.pairs["tokenizer.ggml.precompiled_charsmap"] = charsmap(b"\x04\0\0\0abcdx\0")
    return gguf


def charsmap(data: bytes, kind: Kind = Kind.UINT8) -> bytes:
    return array(kind, [*data])


@pytest.mark.parametrize(("pooling", "kind"), [(1, "embed"), (2, "embed"), (4, "rerank")])
def test_an_encoder_may_bring_a_unigram_vocabulary(pooling: int, kind: str) -> None:
    assert vet(unigram(pooling).build()).kind == kind


def test_a_unigram_vocabulary_may_lack_its_map_of_characters() -> None:
    gguf = unigram()
    del gguf.pairs["tokenizer.ggml.precompiled_charsmap"]
    assert vet(gguf.build()).kind == "embed"


@pytest.mark.parametrize(
    "data", [b"", b"\x04\0\0", b"\x04\0\0\0abcd", b"\x03\0\0\0abcx\0", b"\xff\xff\xff\xffabcd\0",
             b"\x04\0\0\0abcdx"],
)  # fmt: skip
def test_a_map_of_characters_that_is_cut_off_is_refused(data: bytes) -> None:
    gguf = unigram()
    gguf.pairs["tokenizer.ggml.precompiled_charsmap"] = charsmap(data)
    assert code(gguf) == "gguf_tokenizer"


@pytest.mark.parametrize(
    "change",
    [
        put("tokenizer.ggml.precompiled_charsmap", string("x")),
        put("tokenizer.ggml.precompiled_charsmap", array(Kind.INT32, [4, 0, 0])),
        lambda gguf: gguf.pairs.pop("tokenizer.ggml.scores"),
        put("general.architecture", string("llama")),
    ],
    ids=["a text", "of integers", "no scores", "in a decoder"],
)
def test_what_a_unigram_vocabulary_must_have(change: Change) -> None:
    gguf = unigram()
    for key, value in list(gguf.pairs.items()):
        if str(key).startswith("bert."):
            gguf.pairs[str(key).replace("bert.", "llama.")] = value
    change(gguf)
    assert code(gguf) == "gguf_tokenizer"


def gemma_embedding() -> Gguf:
    gguf = Gguf()
    for key, value in list(gguf.pairs.items()):
        if str(key).startswith("llama."):
            gguf.pairs[str(key).replace("llama.", "gemma-embedding.")] = value
    gguf.pairs["general.architecture"] = string("gemma-embedding")
    gguf.pairs["gemma-embedding.pooling_type"] = u32(1)
    gguf.pairs["gemma-embedding.block_count"] = u32(6)
    return gguf


def test_gemma_embeds_with_its_own_tokenizer() -> None:
    facts = vet(gemma_embedding().build())
    assert (facts.kind, encodes(facts)) == ("embed", True)
    wordpiece = gemma_embedding()
    wordpiece.pairs["tokenizer.ggml.model"] = string("bert")
    assert code(wordpiece) == "gguf_tokenizer"


@pytest.mark.parametrize("name", ["dense_2_feat_in", "dense_3_feat_out"])
def test_widths_of_dense_layers_that_llama_cpp_aborts_on_are_refused(name: str) -> None:
    for width, fits in ((0, True), (32, True), (31, False)):
        gguf = gemma_embedding()
        gguf.pairs[f"gemma-embedding.{name}"] = u32(width)
        if fits:
            vet(gguf.build())
        else:
            assert code(gguf) == "gguf_value"


@pytest.mark.parametrize(
    ("layers", "pattern", "fits"),
    [
        (6, None, True), (5, None, False), (2, u32(2), True), (6, u32(1), False),
        (6, u32(7), False), (2, array(Kind.BOOL, [1, 0]), True),
        (2, array(Kind.BOOL, [1, 1, 0]), False), (2, array(Kind.UINT8, [1, 0]), False),
    ],
)  # fmt: skip
def test_gemma_needs_layers_with_a_window_and_without_one(
    layers: int, pattern: bytes | None, fits: bool
) -> None:
    gguf = gemma_embedding()
    gguf.pairs["gemma-embedding.block_count"] = u32(layers)
    if pattern is not None:
        gguf.pairs["gemma-embedding.attention.sliding_window_pattern"] = pattern
    if fits:
        vet(gguf.build())
    else:
        assert code(gguf) == "gguf_value"
