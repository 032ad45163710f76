"""A test in a process of its own fails when its process does."""

import os
import signal

import pytest

from tests.child import in_child


@in_child
def wrong(number: int) -> None:
    assert number == 1


@in_child
def killed() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@in_child
def skipped() -> None:
    pytest.skip("not here")


def test_what_happens_in_the_child_is_what_the_test_says() -> None:
    wrong(number=1)
    with pytest.raises(AssertionError, match="number == 1"):
        wrong(number=2)
    with pytest.raises(AssertionError, match=str(-signal.SIGSEGV)):
        killed()
    with pytest.raises(pytest.skip.Exception, match="not here"):
        skipped()
