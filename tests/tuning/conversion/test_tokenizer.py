"""Tokenizers: three that llama.cpp has by name, and nothing that only looks like one of them."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import TuningRefused
from appliance.tuning.conversion import tokenizer as tokenizers
from appliance.tuning.conversion.documents import Members
from appliance.tuning.conversion.messages import CONFIG, TOKENIZER, TOKENIZER_CONFIG
from tests.tuning.conversion.directories import (
    CUTTERS,
    TEMPLATE,
    VOCABULARY,
    begun,
    config,
    given,
    tokenizer,
)

Document = dict[str, Any]


def made(
    document: Document, settings: Document | None = None, template: str | None = None
) -> tuple[str, dict[str, bytes]]:
    table = Members(TOKENIZER_CONFIG, given() if settings is None else settings)
    numbers = Members(CONFIG, config("llama"))
    return tokenizers.pairs(Members(TOKENIZER, document), table, numbers, VOCABULARY, template)


@pytest.mark.parametrize("kind", list(CUTTERS))
def test_each_known_one_has_its_name(kind: str) -> None:
    pre, pairs = made(tokenizer(kind))
    assert pre == kind and pairs["tokenizer.ggml.pre"].endswith(kind.encode())
    assert pairs["tokenizer.ggml.add_bos_token"][-1] == 0
    _, pairs = made(tokenizer(kind, post_processor=begun()))
    assert pairs["tokenizer.ggml.add_bos_token"][-1] == 1


def test_tokens_kinds_and_ids() -> None:
    _, pairs = made(tokenizer())
    own = "tokenizer.ggml."
    kinds = list(memoryview(pairs[own + "token_type"])[16:].cast("i"))
    assert kinds == [1] * 257 + [3, 3, 4] + [5] * (VOCABULARY - 260)
    assert pairs[own + "tokens"].endswith(b"[PAD271]") and b"<tool>" in pairs[own + "tokens"]
    assert pairs[own + "merges"].endswith(b"t h")
    for name, number in (("bos", 257), ("eos", 258)):
        assert int.from_bytes(pairs[f"{own}{name}_token_id"][-4:], "little") == number
    assert own + "padding_token_id" not in pairs
    old = copy.deepcopy(tokenizer())
    old["model"]["merges"] = ["t h"]  # as it was written before 2024
    assert made(old)[1] == pairs


def test_the_template_is_carried_unchanged_and_a_file_of_its_own_wins() -> None:
    assert made(tokenizer())[1]["tokenizer.chat_template"].endswith(TEMPLATE.encode())
    found = made(tokenizer(), template="{{ x }}")[1]["tokenizer.chat_template"]
    assert found.endswith(b"{{ x }}") and TEMPLATE.encode() not in found
    assert "tokenizer.chat_template" not in made(tokenizer(), given(chat_template=None))[1]


def put(path: str, value: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        *way, last = path.split("/")
        place: Any = document
        for key in way:
            place = place[int(key)] if isinstance(place, list) else place[key]
        place[int(last) if isinstance(place, list) else last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("model/type", "Unigram"),
        put("model/byte_fallback", True),
        put("model/unk_token", "<unk>"),
        put("model/end_of_word_suffix", "</w>"),
        put("model/ignore_merges", True),
        put("model/merges/0", ["t", "x", "h"]),
        put("model/merges/0", ["t", "q"]),
        put("model/merges/0", 5),
        put("model/vocab/th", 0),
        put("model/vocab/th", 300),
        put("model/vocab/th", "a"),
        put("normalizer", {"type": "NFC"}),
        put("normalizer", {"type": "Lowercase"}),
        put("pre_tokenizer", None),
        put("pre_tokenizer/type", "Split"),
        put("pre_tokenizer/pretokenizers", [5]),
        put("pre_tokenizer/pretokenizers/0/individual_digits", False),
        put("pre_tokenizer/pretokenizers/1/add_prefix_space", True),
        put("added_tokens/0", "x"),
        put("added_tokens/0/id", 258),
        put("added_tokens/0/id", 3),
        put("added_tokens/0/content", "th"),
        put("added_tokens/0/lstrip", True),
        put("post_processor", {"type": "RobertaProcessing"}),
        put("post_processor", begun("<|im_end|>")),
        put("post_processor", {"type": "Sequence", "processors": 5}),
    ],
)
def test_what_llama_cpp_would_read_another_way_is_refused(
    change: Callable[[Document], None],
) -> None:
    document = copy.deepcopy(tokenizer())
    change(document)
    with pytest.raises(TuningRefused) as refused:
        made(document)
    assert refused.value.code == "convert_tokenizer"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}}, "convert_source"),
        ({"eos_token": "<|none|>"}, "convert_tokenizer"),
        ({"add_bos_token": True}, "convert_tokenizer"),
        ({"add_eos_token": True}, "convert_tokenizer"),
        ({"chat_template": [{"name": "default", "template": "x"}]}, "convert_tokenizer"),
    ],
)
def test_settings_that_would_be_lost_are_refused(more: Document, code: str) -> None:
    with pytest.raises(TuningRefused) as refused:
        made(tokenizer(), given(**more))
    assert refused.value.code == code
