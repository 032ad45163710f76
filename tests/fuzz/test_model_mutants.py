"""Mutants of tiny models that the vetting accepts do not end llama.cpp."""

import re
import subprocess
import sys

import pytest

from tests.conftest import CHECKOUT

pytestmark = pytest.mark.long


def survey(*options: str) -> tuple[int, int]:
    """Accepted mutants, and those of them that died."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.model_mutants", *options],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"^accepted (\d+), died (\d+)$", done.stdout, re.M)
    assert found, done.stdout
    return int(found[1]), int(found[2])


def test_sixty_mutants_end_nothing() -> None:
    accepted, died = survey("--count", "60", "--seed", "7")
    assert accepted > 12 and died == 0


def test_forty_of_a_model_with_short_convolutions_end_nothing() -> None:
    accepted, died = survey("--count", "40", "--seed", "7", "--model", "lfm2")
    assert accepted > 8 and died == 0


def test_without_the_checks_some_do() -> None:
    """The control: the mutants are such as llama.cpp dies of."""
    accepted, died = survey("--count", "30", "--seed", "1", "--as-before")
    assert accepted > 10 and died > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_thousands_hardly_any_does() -> None:
    accepted, died = survey("--count", "6801", "--seed", "2")
    assert accepted > 2000
    assert died * 1000 < accepted * 7  # 481 of 6,801 mutants died before; ten times fewer may
