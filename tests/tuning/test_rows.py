"""Rows: their learned part, and those that would teach something else than is served."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import TuningRefused
from appliance.tuning.rows import TokenRow, check, common_prefix, digest

STOP, BEGIN = 2, 1
GOOD = (TokenRow("a", (1, 5, 6), (7, STOP)), TokenRow("b", (1, 5, 8, 9), (7, 7, STOP)))


def code_of(*rows: TokenRow, longest: int = 100) -> str:
    with pytest.raises(TuningRefused) as refused:
        check(rows, stop=STOP, begin=BEGIN, longest=longest)
    return refused.value.code


def test_good_rows_pass() -> None:
    check(GOOD, stop=STOP, begin=BEGIN, longest=7)
    assert GOOD[0].tokens == (1, 5, 6, 7, STOP)
    assert GOOD[0].inputs == (1, 5, 6, 7)  # the token that ends it is predicted, and never read


def test_an_answer_without_its_end_is_refused() -> None:
    assert code_of(*GOOD, TokenRow("c", (1, 5), (7,))) == "tuning_stop_untrained"
    assert code_of(TokenRow("c", (1, 5), (STOP, 7, STOP))) == "tuning_stop_untrained"
    assert code_of(TokenRow("c", (1, 5), ())) == "tuning_stop_untrained"


def test_a_begin_token_that_stands_twice_is_refused() -> None:
    assert code_of(TokenRow("c", (BEGIN, BEGIN, 5), (7, STOP))) == "tuning_double_begin"
    check([TokenRow("c", (BEGIN, BEGIN, 5), (7, STOP))], stop=STOP, begin=None, longest=9)


def test_rows_that_are_too_long_are_named_and_not_cut() -> None:
    with pytest.raises(
        TuningRefused, match=r"^1 row with more than 6 tokens: b \(7\)\.$"
    ) as refused:
        check(GOOD, stop=STOP, begin=BEGIN, longest=6)
    assert refused.value.code == "tuning_row_too_long"


def test_many_refused_rows_are_counted() -> None:
    many = [TokenRow(f"row-{n}", (1, 5), (7,)) for n in range(23)]
    with pytest.raises(TuningRefused, match=r"^23 rows .* row-19 and 3 more\.$"):
        check(many, stop=STOP, begin=BEGIN, longest=9)
    long = [TokenRow(f"row-{n}", (1,) * (50 + n), (7, STOP)) for n in range(3)]
    with pytest.raises(TuningRefused, match=r": row-2 \(54\), row-1 \(53\), row-0 \(52\)\.$"):
        check(long, stop=STOP, begin=None, longest=9)


def test_the_digest_sees_every_token_and_what_is_learned() -> None:
    known = digest(GOOD)
    assert digest([TokenRow("other name", *row.__reduce__()[1][1:]) for row in GOOD]) == known
    assert digest(GOOD[::-1]) != known
    moved = TokenRow("a", (1, 5, 6, 7), (STOP,))  # the same tokens, another part is learned
    assert digest([moved, GOOD[1]]) != known


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=5))
def test_the_common_prefix_is_common_and_leaves_a_token(prompts: list[list[int]]) -> None:
    rows = [TokenRow(str(n), tuple(prompt), (STOP,)) for n, prompt in enumerate(prompts)]
    size = common_prefix(rows)
    assert all(row.prompt[:size] == rows[0].prompt[:size] for row in rows)
    assert size < min(map(len, prompts))
    longer = {row.prompt[: size + 1] for row in rows}
    assert len(longer) > 1 or size + 1 == min(map(len, prompts))
    assert common_prefix([]) == 0
