"""The page of results: every fault has its tests, with their outcomes."""

import ast
import re
from functools import cache

import pytest

from tests.conftest import CHECKOUT
from tests.installer.faults import FAULTS, Fault
from tests.installer.results import PAGE, page, survived, verdict

FAULT = Fault("host", "a fault", "real", ("t.py::a", "t.py::b"))


def seen(**outcomes: str) -> dict[str, dict[str, object]]:
    return {f"t.py::{name}": {"outcome": outcome} for name, outcome in outcomes.items()}


@cache
def functions_in(file: str) -> set[str]:
    tree = ast.parse((CHECKOUT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_every_fault_names_tests_that_there_are(fault: Fault) -> None:
    assert fault.tests
    for test in fault.tests:
        file, _, name = test.partition("::")
        assert name.startswith("test_") and name in functions_in(file), test


def test_the_page_has_every_fault_and_none_that_was_not_survived() -> None:
    text = PAGE.read_text()
    rows = re.findall(r"(?m)^\| \d+ \| (\w+) \| (.*?) \| (\w+) \|", text)
    assert rows == [(fault.where, fault.what, fault.how) for fault in FAULTS]
    assert "**FAILED**" not in text


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        ({}, "not run"),
        ({"a": "passed"}, "not all run"),
        ({"a": "passed", "b": "skipped"}, "not all run"),
        ({"a": "passed", "b": "failed"}, "**FAILED**"),
        ({"a": "passed", "b": "passed"}, "survived, 2 cases"),
    ],
)
def test_a_fault_is_survived_when_all_its_tests_passed(outcomes: dict[str, str], word: str) -> None:
    assert verdict(FAULT, seen(**outcomes)) == word
    assert survived(FAULT, seen(**outcomes)) == (word == "survived, 2 cases")


def test_one_failed_case_of_many_is_a_failure() -> None:
    outcomes = {f"t.py::a[{n}]": {"outcome": "passed"} for n in range(9)} | seen(b="passed")
    assert survived(FAULT, outcomes)
    assert not survived(FAULT, outcomes | {"t.py::a[4]": {"outcome": "failed"}})


def test_figures_are_shown_by_host() -> None:
    figures = {"upgrade, s": 3.0, "install without a model, s": 20.0}
    node = "tests/installer/test_chroots.py::test_install[trixie]"
    killed = {f"x.py::test_killed[{n}]": {"figures": {"points": 30 + n}} for n in range(3)}
    text = page({node: {"outcome": "passed", "figures": figures}, **killed})
    assert "| host | install without a model, s | upgrade, s |" in text
    assert "| trixie | 20 | 3 |" in text
    assert "- points: 93\n" in text
