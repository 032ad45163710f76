"""A part of each swept suite runs, another one at each commit, and the list says of how many."""

import pytest

from tests import sweeps
from tests.sweeps import Counts, drawn, keep, read

CASES = [f"t.py::test_a[{number}]" for number in range(40)] + ["t.py::test_b[0]", "t.py::test_b[1]"]
LISTED = {"t.py::test_a": Counts(4, 40), "t.py::test_b": Counts(1, 2)}


def test_so_many_of_each_suite_run() -> None:
    kept = keep(CASES, LISTED, by="commit", named=False)
    assert (sum("_a[" in case for case in kept), sum("_b[" in case for case in kept)) == (4, 1)
    assert kept == keep(CASES[::-1], LISTED, by="commit", named=False)


def test_commits_draw_others_and_in_time_all() -> None:
    assert drawn(CASES, 4, "one commit") != drawn(CASES, 4, "another")
    assert set().union(*(drawn(CASES, 4, str(commit)) for commit in range(200))) == set(CASES)


@pytest.mark.parametrize("changed", [{}, {**LISTED, "t.py::test_b": Counts(1, 3)}])
def test_a_suite_that_is_not_listed_so_is_refused(changed: dict[str, Counts]) -> None:
    with pytest.raises(pytest.UsageError, match=r"t\.py::test_. has \d+ cases"):
        keep(CASES, changed, by="commit", named=False)


def test_a_case_that_is_named_runs() -> None:
    assert keep(CASES[:1], LISTED, by="commit", named=True) == set(CASES[:1])


def test_the_list_is_of_suites_of_which_a_part_runs() -> None:
    listed = read(sweeps.LIST.read_text(encoding="utf-8"))
    assert listed and all(0 < here < there for here, there in listed.values())
    for suite in listed:
        module, _, function = suite.partition("::")
        text = (sweeps.LIST.parents[1] / module).read_text(encoding="utf-8")
        assert f"def {function}(" in text and "pytest.mark.swept" in text, suite
