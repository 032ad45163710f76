"""Descriptions of answers: values computed by hand and by scikit-learn."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.evals import metrics
from appliance.evals.metrics import NO_ANSWER, OTHER
from appliance.tasks.matching import Answer, alike, same

LABELS = ("a", "b", "c")


@given(st.text(), st.text())
def test_shared_words_are_a_share_and_no_side_comes_first(expected: str, answer: str) -> None:
    f1 = metrics.token_f1(expected, answer)
    assert alike(expected, answer) <= f1 <= 1
    assert f1 == pytest.approx(metrics.token_f1(answer, expected))


@pytest.mark.parametrize(
    ("expected", "answer", "f1"),
    [
        ("the boom hose", "Boom  hose!", 1),
        ("boom hose", "hose", 2 / 3),
        ("boom hose leak", "hose leak hose", 2 / 3),
        ("", "", 1),
        ("", "hose", 0),
        ("hose", "", 0),
        ("", None, 0),
    ],
)
def test_shared_words(expected: str, answer: str | None, f1: float) -> None:
    assert metrics.token_f1(expected, answer) == pytest.approx(f1)


def test_refusals_are_known_by_their_beginning() -> None:
    assert metrics.refuses("I'm sorry, but I cannot help with that.")
    assert metrics.refuses("  Sorry. No.")
    assert metrics.refuses("Es tut mir leid, das geht nicht.")
    assert metrics.refuses("Ich kann Ihnen dabei nicht helfen.")
    assert metrics.refuses("Dabei kann ich nicht helfen.")
    assert metrics.refuses("Leider kann ich das nicht.")
    assert not metrics.refuses("Ich kann das Ventil tauschen.")
    assert not metrics.refuses("Die Pumpe kann nicht laufen.")
    assert not metrics.refuses("The seal is sorry-looking.")
    assert not metrics.refuses(None)


def test_confusion_has_a_column_for_other_answers_and_for_none() -> None:
    columns, counts = metrics.confusion(LABELS, ["a", "a", "b", "c"], ["a", "b", "zzz", None])
    assert columns == ["a", "b", "c", OTHER, NO_ANSWER]
    assert counts == [[1, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    assert sum(map(sum, counts)) == 4


def macro_f1(expected: Sequence[str], answers: Sequence[Answer]) -> float:
    return metrics.macro_f1(LABELS, expected, answers, range(len(expected))).value


def test_macro_f1_has_an_interval_over_groups() -> None:
    """Copies within a group add nothing."""
    draw = np.random.default_rng(2)
    expected = draw.choice(LABELS, 60).tolist()
    answers = [one if draw.random() < 0.8 else "a" for one in expected]
    once = metrics.macro_f1(LABELS, expected, answers, range(60))
    copied = metrics.macro_f1(LABELS, expected * 3, answers * 3, [*range(60)] * 3)
    assert copied == pytest.approx(once) and once.groups == 60
    assert 0.1 < once.interval.high - once.interval.low < 0.4
    apart = metrics.macro_f1(LABELS, expected * 3, answers * 3, range(180))  # the control
    assert apart.interval.low > once.interval.low and apart.interval.high < once.interval.high


def misses(labels: int, right: float, count: int, groups: int) -> tuple[float, float]:
    """Shares of truths outside of our interval, and of the jackknife's.

    Labels have unequal shares; a wrong answer is any other label alike.
    """
    draw, names = np.random.default_rng(7), [f"l{n}" for n in range(labels)]
    shares = 0.6 ** np.arange(labels)
    cells = np.full((labels, labels), (1 - right) / (labels - 1))
    np.fill_diagonal(cells, right)
    cells *= (shares / shares.sum())[:, None]
    truth = 2 * cells.diagonal() / (cells.sum(0) + cells.sum(1))
    outside = np.zeros(2)
    for _ in range(count):
        wanted, given = np.divmod(draw.choice(labels**2, groups, p=cells.ravel()), labels)
        expected, answers = [names[n] for n in wanted], [names[n] for n in given]
        found = metrics.macro_f1(names, expected, answers, range(groups))
        reach = 1.96 * found.spread / groups**0.5
        true = truth[sorted({*wanted, *given})].mean()
        ours = found.interval.low <= true <= found.interval.high
        outside += (not ours, abs(found.value - true) > reach)
    return outside[0] / count, outside[1] / count


@pytest.mark.parametrize(("labels", "right"), [(2, 0.6), (2, 0.97), (3, 0.85), (8, 0.9)])
def test_the_interval_of_macro_f1_covers_at_the_fewest_groups(labels: int, right: float) -> None:
    ours, control = misses(labels, right, 200, 50)
    assert ours <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
    assert right < 0.97 or control > 0.1  # the jackknife's own interval


def test_macro_f1_is_that_of_scikit_learn() -> None:
    """`f1_score(expected, answers, labels=..., average="macro", zero_division=0)`, 1.9.1."""
    expected = ["a", "a", "a", "b", "b", "c", "a", "c", "b", "a"]
    answers = ["a", "b", "a", "b", "c", "c", "a", "a", "b", "a"]
    assert macro_f1(expected, answers) == pytest.approx(0.6555555555555556)


def test_failures_lower_macro_f1() -> None:
    assert macro_f1(["a", "b"], ["a", "b"]) == 1
    assert macro_f1(["a", "b"], ["a", None]) == 0.5
    assert macro_f1(["a", "b"], ["a", "zzz"]) == 0.5


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, "zzz", None]))))
def test_every_item_is_counted_once(pairs: list[tuple[str, str | None]]) -> None:
    expected, answers = [e for e, _ in pairs], [a for _, a in pairs]
    _, counts = metrics.confusion(LABELS, expected, answers)
    assert sum(map(sum, counts)) == len(pairs)
    right = sum(counts[n][n] for n in range(len(LABELS)))
    assert right == sum(map(same, expected, answers))
