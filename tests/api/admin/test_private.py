"""The admin app of one command."""

import stat
from pathlib import Path

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread, serve_privately
from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ServerUnreachable


def test_only_this_user_can_reach_it(services: Services) -> None:
    with serve_privately(services) as path:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_is_gone_when_the_block_ends(services: Services) -> None:
    with serve_privately(services) as path, AdminClient(path) as client:
        assert client.status().state == "stopped"
    assert not path.parent.exists()
    with AdminClient(path) as client, pytest.raises(ServerUnreachable):
        client.status()


def test_it_ends_when_the_block_fails(services: Services) -> None:
    places: list[Path] = []
    with pytest.raises(ZeroDivisionError), serve_privately(services) as path:
        places.append(path)
        raise ZeroDivisionError
    assert not places[0].exists()


def test_a_socket_is_not_taken_over(services: Services, tmp_path: Path) -> None:
    app = create_admin_app(services)
    with (
        serve_in_thread(app, tmp_path / "s"),
        pytest.raises(OSError, match="in use"),
        serve_in_thread(app, tmp_path / "s"),
    ):
        pass
