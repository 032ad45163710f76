"""The numbers of an answer: everything that chose its tokens is in them, and where they differ."""

import random

import numpy as np
import pytest

from appliance.engine.logprobs import CHOSEN, bits, digest_of
from appliance.errors import AuditRefused
from appliance.serving.answer_numbers import AnswerNumbers, Computed, differing, token_of

PROMPT = digest_of([[1, 2], [3]])


def chosen(seed: int, tokens: int = 4) -> list[bytes]:
    dice = random.Random(seed)
    return [CHOSEN.pack(n, dice.random(), dice.randrange(1 << 64)) for n in range(tokens)]


def numbers(rows: list[bytes], vector: bytes = b"", choices: int = 1) -> AnswerNumbers:
    computed = Computed(PROMPT, choices)
    for row in rows:
        computed.take(0, vector, row)
    return AnswerNumbers.read(computed.numbers().text())


def test_rows_may_come_in_any_portions() -> None:
    whole = chosen(1)
    assert numbers(whole) == numbers([b"".join(whole)]) == numbers([b"", *whole])
    assert len(numbers(whole).text()) < 190 + 8 * len(whole)
    assert [token_of(one) for one in numbers(whole).choices[0].each()] == [0, 1, 2, 3]


def test_every_bit_of_a_token_shows_and_where() -> None:
    whole = chosen(1)
    before = numbers(whole)
    assert list(differing(before, before)) == []
    seen = 0
    for place in range(4):
        for bit in range(8 * CHOSEN.size):
            other = int.from_bytes(whole[place], "little") ^ 1 << bit
            rows = [*whole]
            rows[place] = other.to_bytes(CHOSEN.size, "little")
            ((choice, at),) = differing(before, numbers(rows))
            assert choice == 0 and at in (place, -1)  # two bytes may agree, the digest does not
            seen += at == place
    assert seen > 500


def test_a_longer_answer_differs_where_the_shorter_one_ends() -> None:
    assert list(differing(numbers(chosen(1)), numbers(chosen(1)[:3]))) == [(0, 3)]
    assert list(differing(numbers([], b"\0\0"), numbers([], b"\0\1"))) == []  # no rows
    assert list(differing(numbers([b""], b"\0\0"), numbers([b""], b"\0\1"))) == [(0, -1)]


def test_choices_are_apart() -> None:
    one, two = Computed(PROMPT, 2), Computed(PROMPT, 2)
    for number, row in enumerate(chosen(1)):
        one.take(number % 2, b"", row)
        two.take(number % 2, b"", row if number else chosen(2)[0])
    assert list(differing(one.numbers(), two.numbers())) == [(0, 0)]


@pytest.mark.parametrize("size", [1, 2, 7, 49_152])
def test_the_sum_of_a_row_sees_each_unit_in_the_last_place(size: int) -> None:
    random_ = np.random.default_rng(3)
    row = random_.standard_normal(size).astype(np.float32)
    before = bits(row)
    for place in {0, size // 2, size - 1}:
        for towards in (-np.inf, np.inf):
            moved = row.copy()
            moved[place] = np.nextafter(row[place], np.float32(towards))
            assert bits(moved) != before
    assert bits(row) == before == bits(np.concatenate([row, row])[size:])  # at an odd address, too


def test_prompts_of_other_tokens_have_other_digests() -> None:
    assert PROMPT == digest_of([[1, 2, 3]]) != digest_of([[1, 2]]) and len(PROMPT) == 32


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"prompt":"","choices":[{"digest":1}]}'])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(AuditRefused):
        AnswerNumbers.read(text)
