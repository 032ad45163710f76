"""Train = serve: each planted difference ends with a code of its own; equal sides pass."""

import pytest

from appliance.errors import TuningRefused
from appliance.tuning import checks
from appliance.tuning.checks import Gap, Scored
from appliance.tuning.rows import TokenRow, digest

ROWS = (TokenRow("a", (1, 5, 6), (7, 2)), TokenRow("b", (1, 5, 8), (9, 2)))


def code_of(error: pytest.ExceptionInfo[TuningRefused]) -> str:
    return error.value.code


def test_rows_that_the_server_renders_alike_pass() -> None:
    checks.check_tokens(ROWS, list(ROWS), digest(ROWS))


@pytest.mark.parametrize(
    ("other", "place"),
    [
        (TokenRow("b", (1, 5, 3), (9, 2)), 2),  # a foreign template
        (TokenRow("b", (1, 1, 5, 8), (9, 2)), 1),  # a begin token more
        (TokenRow("b", (1, 5, 8), (9,)), 5),  # no end
        (TokenRow("b", (1, 5), (8, 9, 2)), 5),  # another part is learned
    ],
)
def test_a_row_that_the_server_renders_another_way_is_refused(other: TokenRow, place: int) -> None:
    with pytest.raises(TuningRefused, match=f"row b .* from token {place} on") as refused:
        checks.check_tokens(ROWS, [ROWS[0], other], digest(ROWS))
    assert code_of(refused) == "tuning_tokens_differ"


def test_a_trainer_that_read_other_rows_is_refused() -> None:
    with pytest.raises(TuningRefused) as refused:
        checks.check_tokens(ROWS, ROWS, digest(ROWS[:1]))
    assert code_of(refused) == "tuning_tokens_differ"


def test_another_base_is_refused() -> None:
    checks.check_base("ab", "ab")
    with pytest.raises(TuningRefused) as refused:
        checks.check_base("ab", "cd")
    assert code_of(refused) == "tuning_base_differs"


def test_what_rounding_may_do_to_few_tokens_is_no_difference() -> None:
    checks.check_gap(Gap(1.0, 1.05, error=0.0201), "The adapter")
    with pytest.raises(TuningRefused):
        checks.check_gap(Gap(1.0, 1.05, error=0.0199), "The adapter")


@pytest.mark.parametrize(
    ("trained", "served", "passes"),
    [
        (1.0, 1.0099, True),
        (1.0, 1.0101, False),
        (1.0, 0.9899, False),  # better is another model, too
        (4.0, 4.0199, True),  # half a percent of four nats
        (4.0, 4.0201, False),
        (float("nan"), 1.0, False),
        (1.0, float("nan"), False),
    ],
)
def test_the_loss_may_differ_by_half_a_percent_or_a_hundredth_of_a_nat(
    trained: float, served: float, passes: bool
) -> None:
    if passes:
        return checks.check_gap(Gap(trained, served), "The adapter")
    with pytest.raises(TuningRefused) as refused:
        checks.check_gap(Gap(trained, served), "The adapter")
    assert code_of(refused) == "tuning_nll_gap"


def test_the_gap_is_of_all_tokens_together() -> None:
    ours = [Scored((1.0, 2.0, 3.0), ()), Scored((6.0,), ())]
    theirs = [Scored((1.0, 2.0, 3.0), ()), Scored((10.0,), ())]
    assert checks.gap(ours, theirs) == Gap(3.0, 4.0, 1.0)  # of 0, 0, 0 and 4
    assert not checks.gap([], []).nats <= 1
    with pytest.raises(TuningRefused, match="scored 4 tokens, and the server 3") as refused:
        checks.gap(ours, theirs[:1])
    assert code_of(refused) == "tuning_tokens_differ"


def test_a_sure_place_where_the_server_prefers_another_token_is_refused() -> None:
    ours = [Scored((0.1, 0.1), (b"x", b"y"), (0.6, 0.5)), Scored((0.1,), (b"z",), (9.0,))]
    alike = [Scored((0.1, 0.1), (b"x", b"?")), Scored((0.1,), (b"z",))]
    assert checks.check_greedy(ROWS, ours, alike) == 2  # half a nat is not sure
    other = [alike[0], Scored((0.1,), (b"q",))]
    with pytest.raises(TuningRefused, match=r"^b, token 0 .*b'z', by 9.00 nats.*b'q'") as refused:
        checks.check_greedy(ROWS, ours, other)
    assert code_of(refused) == "tuning_greedy_differs"


def test_answers_must_end_by_themselves() -> None:
    ends = [(f"i{n}", True) for n in range(99)]
    assert checks.check_stops([*ends, ("late", False)]) == 0.99
    with pytest.raises(TuningRefused, match=r"98 % of 100.*late, later") as refused:
        checks.check_stops([*ends[:98], ("late", False), ("later", False)])
    assert code_of(refused) == "tuning_not_stopping"
    with pytest.raises(TuningRefused):
        checks.check_stops([])
