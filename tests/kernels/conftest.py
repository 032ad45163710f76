"""These tests load llama.cpp into their process."""

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.xdist_group("llama.cpp"))
