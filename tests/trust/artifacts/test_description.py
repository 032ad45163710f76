"""`artifact.json`: read, or refused with one code."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import SignatureRefused
from appliance.trust.artifacts import description, grammar
from appliance.trust.artifacts.description import Description
from tests.trust.forge import as_json

FILES = {"artifact.json", "model.gguf", "chat.jinja", "g/report.lark", "h/report.lark"}
GOOD = {"version": 4, "roles": {"chat.jinja": "template"}}


def test_it_is_read() -> None:
    read = description.parse(as_json(GOOD), FILES)
    assert read == Description(4, "chat.jinja")


def test_grammars_are_read_by_name() -> None:
    roles = {"g/report.lark": "grammar", "chat.jinja": "template", "part.json": "grammar"}
    read = description.parse(as_json({"version": 1, "roles": roles}), {*FILES, "part.json"})
    assert read.grammars == {"report": "g/report.lark", "part": "part.json"}
    assert read.template == "chat.jinja"
    assert read.roles == roles


def test_prefixes_of_an_embedding_model_are_read() -> None:
    said = {"query_prefix": "query: ", "passage_prefix": ""}
    read = description.parse(as_json({"version": 1, "embedding": said}), FILES)
    assert (read.query_prefix, read.passage_prefix) == ("query: ", "")
    assert description.parse(as_json(GOOD), FILES).query_prefix is None


@pytest.mark.parametrize(
    "embedding",
    [None, [], {}, {"query_prefix": "a"}, {"query_prefix": 1, "passage_prefix": ""},
     {"query_prefix": "a" * 65, "passage_prefix": ""},
     {"query_prefix": "a\n", "passage_prefix": ""},
     {"query_prefix": "\u202e", "passage_prefix": ""},
     {"query_prefix": "", "passage_prefix": "", "pooling": "mean"}],
)  # fmt: skip
def test_other_prefixes_are_refused(embedding: Any) -> None:
    with pytest.raises(SignatureRefused) as refused:
        description.parse(as_json({"version": 1, "embedding": embedding}), FILES)
    assert refused.value.code == "description_invalid"


def test_there_are_not_too_many_grammars() -> None:
    names = [f"g{number}.lark" for number in range(grammar.MOST + 1)]
    most = {"version": 1, "roles": dict.fromkeys(names[1:], "grammar")}
    assert len(description.parse(as_json(most), names).grammars) == grammar.MOST
    with pytest.raises(SignatureRefused, match="more than"):
        description.parse(as_json({"version": 1, "roles": dict.fromkeys(names, "grammar")}), names)


BAD: dict[str, Any] = {
    "no object": [],
    "no version": {},
    "version 0": {"version": 0},
    "version true": {"version": True},
    "version a string": {"version": "4"},
    "version too large": {"version": 1 << 53},
    "an unknown field": {"version": 1, "licence": "MIT"},
    "an unknown role": {"version": 1, "roles": {"chat.jinja": "tokenizer"}},
    "a role that is no word": {"version": 1, "roles": {"chat.jinja": None}},
    "a file that is not there": {"version": 1, "roles": {"other.jinja": "template"}},
    "a file outside": {"version": 1, "roles": {"../chat.jinja": "template"}},
    "two templates": {
        "version": 1,
        "roles": {"chat.jinja": "template", "model.gguf": "template"},
    },
    "a grammar that is a program": {"version": 1, "roles": {"model.gguf": "grammar"}},
    "two grammars of one name": {
        "version": 1,
        "roles": {"g/report.lark": "grammar", "h/report.lark": "grammar"},
    },
    "a grammar that is not there": {"version": 1, "roles": {"h/other.lark": "grammar"}},
    "a file that is template and grammar": {"version": 1, "roles": {"chat.jinja": ["grammar"]}},
    "the base of an adapter, which adapter.json has": {
        "version": 1,
        "base": {"oms_root": "ab" * 32},
    },
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_what_is_refused(value: object) -> None:
    with pytest.raises(SignatureRefused) as caught:
        description.parse(as_json(value), FILES)
    assert caught.value.code == "description_invalid"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        description.parse(data, FILES)
    except SignatureRefused as error:
        assert error.code == "description_invalid"
