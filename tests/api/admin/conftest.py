"""The admin app on a real lab data directory, reached through a real socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.client import AdminClient
from tests.api.admin.lab import LabData, client_of, make_lab


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    return make_lab(tmp_path)


@pytest.fixture
def services(lab: LabData) -> Iterator[Services]:
    with open_services(lab.data) as opened:
        yield opened


@pytest.fixture
def client(services: Services) -> Iterator[AdminClient]:
    with client_of(services) as made:
        yield made


def pytest_itemcollected(item: pytest.Item) -> None:
    """They open a server in their process."""
    item.add_marker("long")
