"""A part of each swept suite runs, another one at each commit, and the list says of how many."""

import os
import subprocess
import sys
from pathlib import Path

from tests import sweeps
from tests.conftest import CHECKOUT
from tests.sweeps import Counts, drawn, keep, read

CASES = [f"t.py::test_a[{number}]" for number in range(40)] + ["t.py::test_b[0]", "t.py::test_b[1]"]
LISTED = {"t.py::test_a": Counts(4, 40), "t.py::test_b": Counts(1, 2)}


def test_so_many_of_each_suite_run() -> None:
    kept, wrong = keep(CASES, LISTED, by="commit", named=False)
    assert (sum("_a[" in case for case in kept), sum("_b[" in case for case in kept)) == (4, 1)
    assert (kept, wrong) == (keep(CASES[::-1], LISTED, by="commit", named=False)[0], {})


def test_commits_draw_others_and_in_time_all() -> None:
    assert drawn(CASES, 4, "one commit") != drawn(CASES, 4, "another")
    assert set().union(*(drawn(CASES, 4, str(commit)) for commit in range(200))) == set(CASES)


_SUITES = """
import pytest

@pytest.mark.swept
@pytest.mark.parametrize("case", range(3))
def test_a(case):
    pass

test_b = test_c = test_a
"""
_USED = """
from pathlib import Path
from tests import sweeps

sweeps.LIST = Path(__file__).with_name("sweeps.txt")
pytest_addoption = lambda parser: parser.addoption("--whole", action="store_true")
pytest_collection_modifyitems = sweeps.select
"""


def test_a_wrong_count_is_read_where_several_processes_test(tmp_path: Path) -> None:
    listed = "1 3 test_s.py::test_a\n1 4 test_s.py::test_b\n"
    for name, text in (("sweeps.txt", listed), ("test_s.py", _SUITES), ("conftest.py", _USED)):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert "2 failed, 1 passed" in done.stdout, done.stdout
    for suite, says in (("b", "Counts(here=1, there=4)"), ("c", "nothing")):
        line = f"FAILED test_s.py::test_{suite} - Failed: 3 cases, but sweeps.txt says {says}"
        assert line in done.stdout, done.stdout


def test_a_case_that_is_named_runs() -> None:
    assert keep(CASES[:1], LISTED, by="commit", named=True) == (set(CASES[:1]), {})


def test_the_list_is_of_suites_of_which_a_part_runs() -> None:
    listed = read(sweeps.LIST.read_text(encoding="utf-8"))
    assert listed and all(0 < here < there for here, there in listed.values())
    for suite in listed:
        module, _, function = suite.partition("::")
        text = (sweeps.LIST.parents[1] / module).read_text(encoding="utf-8")
        assert f"def {function}(" in text and "pytest.mark.swept" in text, suite
