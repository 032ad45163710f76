"""Texts are cut at special tokens as llama.cpp cuts them, each byte looked at once."""

import ctypes

import llama_cpp.llama_cpp as llama
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.text.specials import Special, Specials
from appliance.trust.bytes.sealed import SealedFile

KNOWN = Specials(
    [
        Special(1, b"<s>"),
        Special(2, b"<s><"),
        Special(3, b"\n\n", control=False),
        Special(4, b"<r>", right=True),
        Special(5, b"<l>", left=True),
        Special(6, b""),
        Special(7, b"\xff\xe4"),
    ]
)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (b"", []),
        (b"ab", [b"ab"]),
        (b"a<s>b", [b"a", 1, b"b"]),
        (b"<s><s>", [2, b"s>"]),
        (b"a\n\n\nb", [b"a", 3, b"\nb"]),
        (b"a <r> \t b", [b"a ", 4, b"b"]),
        (b"<r>\n\n<s>", [4, 1]),
        (b"a \n<l> b", [b"a", 5, b" b"]),
        (b" <l>", [5]),
        ("ä".encode() + b"\xff\xe4", ["ä".encode(), 7]),
    ],
)
def test_pieces(text: bytes, pieces: list[bytes | int]) -> None:
    assert list(KNOWN.cut(text, control=True)) == pieces


def test_without_control_tokens_the_others_are_still_cut() -> None:
    assert list(KNOWN.cut(b"<s>\n\n<r>", control=False)) == [b"<s>", 3, b"<r>"]
    assert list(Specials([]).cut(b"<s>", control=True)) == [b"<s>"]


@pytest.fixture(scope="module")
def runner(library: Library, sealed_model: SealedFile) -> ModelRunner:
    return ModelRunner(
        library, sealed_model.reopen(), RunnerConfig(n_ctx=64, slots=1, threads=1, n_batch=64)
    )


def of_llama_cpp(
    runner: ModelRunner, text: str, *, add_special: bool, parse_special: bool
) -> list[int]:
    raw = text.encode()
    buffer = (llama.llama_token * (len(raw) + 8))()
    count = llama.llama_tokenize(
        runner._vocab, raw, len(raw), buffer, len(buffer), add_special, parse_special
    )
    return list(buffer[:count])


bits = st.sampled_from(
    ["<|im_start|>", "<|im_end|>", "<|im_", "<|endoftext|>", "a", " ", "\n", "  ", " x", "中", "<"]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(bits, max_size=12).map("".join), st.booleans(), st.booleans())
def test_the_tokens_are_those_of_llama_cpp(
    runner: ModelRunner, text: str, add_special: bool, parse_special: bool
) -> None:
    asked = {"add_special": add_special, "parse_special": parse_special}
    assert runner.tokenize(text, **asked) == of_llama_cpp(runner, text, **asked)


def test_the_work_is_linear_in_the_number_of_special_tokens(
    runner: ModelRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    real = llama.llama_tokenize

    def counted(vocab: ctypes.c_void_p, raw: bytes, size: int, *rest: object) -> int:
        given.append(size)
        return int(real(vocab, raw, size, *rest))

    monkeypatch.setattr(llama, "llama_tokenize", counted)
    tokens = runner.tokenize("<|im_end|>x" * 20_000, add_special=False, parse_special=True)
    assert len(tokens) == 40_000
    assert sum(given) == 20_000 and max(given) == 1  # llama.cpp is never given a list to count in


def test_it_stops_soon_after_the_most_that_is_wanted(runner: ModelRunner) -> None:
    text = "<|im_end|>x" * 20_000
    assert len(runner.tokenize(text, add_special=False, parse_special=True, most=10)) == 11
