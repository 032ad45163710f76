"""Imports without the garbage collector."""

import gc

import pytest

from appliance.cli.imports import importing


def test_the_collector_rests_for_the_imports_alone() -> None:
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_works_again_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_where_it_rested_before_it_still_rests() -> None:
    gc.disable()
    with importing():
        pass
    rested = not gc.isenabled()
    gc.enable()
    assert rested
