"""The admin app of one command."""

import contextlib
import socket
import stat
import threading
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread, serve_privately
from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ServerUnreachable
from appliance.wire.admin.models import STATUS


def test_only_this_user_can_reach_it(services: Services) -> None:
    with serve_privately(services) as path:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_is_gone_when_the_block_ends(services: Services) -> None:
    with serve_privately(services) as path, AdminClient(path) as client:
        assert client.call(STATUS).state == "stopped"
    assert not path.parent.exists()
    with AdminClient(path) as client, pytest.raises(ServerUnreachable):
        client.call(STATUS)


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


def test_a_request_that_is_under_way_is_answered_before_the_block_ends(tmp_path: Path) -> None:
    app, path = FastAPI(), tmp_path / "s"
    begun, go = threading.Event(), threading.Event()
    bodies: list[str] = []

    @app.get("/x")
    def answer() -> str:
        begun.set()
        assert go.wait(60)
        return "whole"

    def ask() -> None:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            bodies.append(client.get("http://admin/x", timeout=60).text)

    def go_on_once_it_ends() -> None:
        with contextlib.suppress(OSError):
            while True:
                with socket.socket(socket.AF_UNIX) as late:
                    late.connect(str(path))
        go.set()

    asking, ending = (threading.Thread(target=work) for work in (ask, go_on_once_it_ends))
    with serve_in_thread(app, path):
        asking.start()
        assert begun.wait(60)
        ending.start()
    asking.join()
    ending.join()
    assert bodies == ['"whole"']


def test_a_block_may_end_before_anything_was_served(tmp_path: Path) -> None:
    for number in range(20):
        with serve_in_thread(FastAPI(), tmp_path / f"s{number}"):
            pass
    assert "admin-app" not in [thread.name for thread in threading.enumerate()]
