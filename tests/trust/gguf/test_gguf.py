"""GGUF vetting: one code for each way to break the format."""

import mmap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import GgufRejected
from appliance.trust.gguf.gguf import ARCHITECTURES, ENCODERS, MAX_METADATA, TOKENIZERS, vet
from appliance.trust.gguf.reader import Kind
from tests.trust.forge import BYTES, TOKENS, Gguf, Tensor, array, scalar, string, u32

Change = Callable[[Gguf], object]


def rejected(data: bytes, size: int | None = None) -> str:
    with pytest.raises(GgufRejected) as caught:
        vet(data, size)
    return caught.value.code


def put(key: str, value: bytes) -> Change:
    return lambda gguf: gguf.pairs.__setitem__(key, value)


def drop(key: str) -> Change:
    return lambda gguf: gguf.pairs.pop(key)


def tokens(values: list[str | bytes], types: list[int] | None = None) -> Change:
    kinds = [*(types or [1] * len(values)), *[6] * 256]

    def change(gguf: Gguf) -> None:
        gguf.pairs["tokenizer.ggml.tokens"] = array(Kind.STRING, [*values, *BYTES])
        gguf.pairs["tokenizer.ggml.scores"] = array(Kind.FLOAT32, [0.0] * len(kinds))
        gguf.pairs["tokenizer.ggml.token_type"] = array(Kind.INT32, kinds)

    return change


def test_facts_of_a_valid_file() -> None:
    data = Gguf().build()
    facts = vet(data)
    assert (facts.architecture, facts.name, facts.n_tensors) == ("llama", "tiny", 3)
    assert (facts.n_ctx_train, facts.n_layer, facts.n_embd) == (64, 2, 32)
    assert (facts.n_head, facts.n_head_kv, facts.head_dim_k, facts.head_dim_v) == (4, 2, 8, 8)
    assert facts.n_vocab == len(TOKENS)
    assert facts.file_bytes == len(data)
    assert facts.tensor_bytes == 8 * 18 + 33 * 4 + 32 * 8 * 4
    # The output, and the embedding, which is looked up.
    assert facts.matrices == {"F32": 32 * 8 * 4, "Q4_0 table": 8 * 18}
    assert (facts.n_wide, facts.n_window) == (1, 0)
    assert facts.chat_template == "{{ messages[0].content }}"
    assert facts.kept().has_template is True


def test_the_default_model_is_accepted(default_model_path: Path) -> None:
    with (
        default_model_path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view,
    ):
        facts = vet(view)
        assert facts == vet(view[:MAX_METADATA], len(view))
    assert (facts.architecture, facts.n_layer, facts.n_vocab) == ("llama", 30, 49_152)
    assert (facts.n_head, facts.n_head_kv, facts.head_dim_k) == (9, 3, 64)
    assert facts.file_bytes == default_model_path.stat().st_size


LAST = Tensor("last", (33,), 0, 33 * 4)


def aligned_to_64(gguf: Gguf) -> None:
    gguf.alignment = 64
    gguf.pairs["general.alignment"] = u32(64)


ACCEPTED: dict[str, Change] = {
    "version 2": lambda g: setattr(g, "version", b"\x02\0\0\0"),
    "no chat template": drop("tokenizer.chat_template"),
    "no name": drop("general.name"),
    "one of one split": put("split.count", scalar(Kind.UINT16, 1)),
    "last tensor padded": lambda g: g.tensors.append(LAST),
    "own alignment": aligned_to_64,
    "heads by layer": put("llama.attention.head_count_kv", array(Kind.UINT32, [2, 1])),
    "own head size": lambda g: g.pairs.update(
        {f"llama.attention.{name}_length": u32(16) for name in ("key", "value")}
    ),
    "an empty token": tokens(["", "a", "b"]),
    "nothing suppressed": put("tokenizer.ggml.suppress_tokens", array(Kind.INT32, [])),
    "padding outside the vocabulary": put("tokenizer.ggml.padding_token_id", u32(2**32 - 1)),
    "unknown keys": put("vendor.note", array(Kind.BOOL, [0, 1])),
}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(change: Change) -> None:
    gguf = Gguf()
    change(gguf)
    vet(gguf.build())


def test_the_last_tensor_is_padded_whole_or_not_at_all() -> None:
    data = Gguf(tensors=[LAST]).build()
    assert vet(data).file_bytes == len(data)
    assert len(data) % 32 == 0 and LAST.bytes % 32
    bare = data[: len(data) - (-LAST.bytes % 32)]
    assert vet(bare).file_bytes == len(bare)
    assert rejected(bare[:-1]) == "gguf_truncated"
    assert rejected(bare + b"\0") == "gguf_truncated"
    assert rejected(data[:-1]) == "gguf_truncated"
    assert rejected(data + bytes(32)) == "gguf_trailing"


def test_a_refusal_lists_what_is_accepted() -> None:
    for key, value, accepted in (
        ("general.architecture", "mamba", ARCHITECTURES | ENCODERS.keys()),
        ("tokenizer.ggml.model", "rwkv", TOKENIZERS),
    ):
        gguf = Gguf()
        put(key, string(value))(gguf)
        with pytest.raises(GgufRejected) as caught:
            vet(gguf.build())
        assert all(name in caught.value.message for name in accepted)


def test_layers_with_fewer_heads_count_with_the_most() -> None:
    gguf = Gguf()
    put("llama.attention.head_count_kv", array(Kind.UINT32, [1, 4]))(gguf)
    for name in ("key", "value"):
        put(f"llama.attention.{name}_length", u32(16))(gguf)
        put(f"llama.attention.{name}_length_swa", u32(24))(gguf)
    put("llama.rope.dimension_count_swa", u32(24))(gguf)
    facts = vet(gguf.build())
    assert (facts.n_head_kv, facts.head_dim_k, facts.head_dim_v) == (4, 24, 24)


MODEL: dict[str, tuple[Change, str]] = {
    "split in two": (put("split.count", scalar(Kind.UINT16, 2)), "gguf_split"),
    "split negative": (put("split.count", scalar(Kind.INT16, -1)), "gguf_split"),
    "split as text": (put("split.count", string("1")), "gguf_split"),
    "unlisted architecture": (put("general.architecture", string("plamo2")), "gguf_architecture"),
    "no architecture": (drop("general.architecture"), "gguf_value"),
    "architecture a number": (put("general.architecture", u32(1)), "gguf_value"),
    "name a number": (put("general.name", u32(1)), "gguf_value"),
    "template a number": (put("tokenizer.chat_template", u32(1)), "gguf_value"),
    "no layers key": (drop("llama.block_count"), "gguf_value"),
    "no layers": (put("llama.block_count", u32(0)), "gguf_value"),
    "too many layers": (put("llama.block_count", u32(513)), "gguf_value"),
    "width a float": (put("llama.embedding_length", scalar(Kind.FLOAT32, 32)), "gguf_value"),
    "width a boolean": (put("llama.embedding_length", scalar(Kind.BOOL, 1)), "gguf_value"),
    "width too large": (put("llama.embedding_length", u32((1 << 20) + 1)), "gguf_value"),
    "more KV heads than heads": (put("llama.attention.head_count_kv", u32(5)), "gguf_value"),
    "heads for too few layers": (
        put("llama.attention.head_count_kv", array(Kind.UINT32, [2])),
        "gguf_value",
    ),
    "heads for no layer": (
        put("llama.attention.head_count_kv", array(Kind.UINT32, [])),
        "gguf_value",
    ),
    "a negative number of heads": (
        put("llama.attention.head_count_kv", array(Kind.INT32, [2, -1])),
        "gguf_value",
    ),
    "heads as floats": (
        put("llama.attention.head_count_kv", array(Kind.FLOAT32, [2, 2])),
        "gguf_value",
    ),
    "no context length": (drop("llama.context_length"), "gguf_value"),
}


def unlisted_tokenizer(gguf: Gguf) -> None:
    gguf.pairs["tokenizer.ggml.model"] = string("t5")
    gguf.pairs["tokenizer.ggml.merges"] = array(Kind.STRING, ["a b"])


TOKENIZER: dict[str, Change] = {
    "unlisted tokenizer": unlisted_tokenizer,
    "no tokens": drop("tokenizer.ggml.tokens"),
    "empty vocabulary": put("tokenizer.ggml.tokens", array(Kind.STRING, [])),
    "a way of splitting in quadratic time": put("tokenizer.ggml.pre", string("superbpe")),
    "a byte without a token": put("tokenizer.ggml.tokens", array(Kind.STRING, TOKENS[:-5])),
    "tokens as numbers": put("tokenizer.ggml.tokens", array(Kind.UINT32, [1])),
    "tokens as one string": put("tokenizer.ggml.tokens", string("a")),
    "two equal tokens": tokens(["a", "b", "a"]),
    "a token named like an empty one": tokens(["", "[EMPTY_0]", "a"]),
    "fewer scores": put("tokenizer.ggml.scores", array(Kind.FLOAT32, [0.0])),
    "scores as integers": put("tokenizer.ggml.scores", array(Kind.INT32, [0] * len(TOKENS))),
    "more token types": put("tokenizer.ggml.token_type", array(Kind.INT32, [1] * 9)),
    "token types unsigned": put("tokenizer.ggml.token_type", array(Kind.UINT32, [1] * 8)),
    "an unknown token type": put("tokenizer.ggml.token_type", array(Kind.INT32, [7] + [1] * 7)),
    "a negative token type": put("tokenizer.ggml.token_type", array(Kind.INT32, [-1] + [1] * 7)),
    "a byte token out of range": tokens(["<0x-1>", "a", "b"]),
    "a byte token that is no number": tokens(["<0xZZ>", "a", "b"]),
    "a byte token that is too short": tokens(["<0", "a", "b"], [6, 1, 1]),
    "BPE without merges": put("tokenizer.ggml.model", string("gpt2")),
    "merges as numbers": put("tokenizer.ggml.merges", array(Kind.UINT32, [1])),
    "an id at the end": put("tokenizer.ggml.eos_token_id", u32(len(TOKENS))),
    "an id far out": put("tokenizer.ggml.eot_token_id", u32(0xFFFFFFFF)),
    "a negative id": put("tokenizer.ggml.eot_token_id", scalar(Kind.INT32, -1)),
    "an id as text": put("tokenizer.ggml.eos_token_id", string("2")),
    "a list of ids far out": put("tokenizer.ggml.eog_token_ids", array(Kind.INT32, [1, 9999])),
    "suppressed ids negative": put("tokenizer.ggml.suppress_tokens", array(Kind.INT32, [-5])),
    "suppressed ids as text": put("tokenizer.ggml.suppress_tokens", array(Kind.STRING, ["1"])),
}


@pytest.mark.parametrize(
    ("change", "code"),
    [*MODEL.values(), *((change, "gguf_tokenizer") for change in TOKENIZER.values())],
    ids=[*MODEL, *TOKENIZER],
)
def test_rejected(change: Change, code: str) -> None:
    gguf = Gguf()
    change(gguf)
    assert rejected(gguf.build()) == code


def test_the_list_has_nothing_that_keeps_other_state_than_a_kv_cache() -> None:
    assert not ARCHITECTURES & {"mamba", "rwkv7", "jamba", "plamo2", "bert", "clip", "t5"}


def test_metadata_larger_than_the_part_in_hand_are_refused() -> None:
    gguf = Gguf()
    put("vendor.blob", array(Kind.STRING, ["x" * (1 << 20)] * 65))(gguf)
    assert rejected(gguf.build()) == "gguf_limit"


BASE = Gguf().build()


@settings(max_examples=400, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255)), min_size=1, max_size=6
    ),
    cut=st.one_of(st.none(), st.integers(0, len(BASE))),
)
def test_mutated_files_raise_nothing_but_gguf_rejected(
    edits: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(BASE)
    for place, value in edits:
        data[place] = value
    try:
        vet(bytes(data[:cut]))
    except GgufRejected as error:
        assert error.code.startswith("gguf_")


_NUMBERS = st.sampled_from(
    [n + d for n in (0, 256, 1 << 20, 1 << 31, 1 << 32, 1 << 63, 1 << 64) for d in (-4, -1, 0, 1)]
)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(BASE) - 8), number=_NUMBERS, width=st.sampled_from([4, 8]))
def test_extreme_numbers_anywhere_raise_nothing_but_gguf_rejected(
    place: int, number: int, width: int
) -> None:
    data = bytearray(BASE)
    data[place : place + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
    try:
        vet(bytes(data))
    except GgufRejected as error:
        assert error.code.startswith("gguf_")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_pairs_raise_nothing_but_gguf_rejected(noise: bytes) -> None:
    gguf = Gguf(extra_pairs=[("x", noise)], n_pairs=40)
    with pytest.raises(GgufRejected):
        vet(gguf.build())


def test_every_prefix_of_a_file_is_refused() -> None:
    for length in range(len(BASE)):
        assert rejected(BASE[:length]) in {"gguf_magic", "gguf_truncated"}
