"""These tests open a server in their process."""

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker("long")
