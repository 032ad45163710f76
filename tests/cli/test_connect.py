"""The way from a command to the admin app."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.cli import connect
from appliance.cli.connect import admin_client, server_answers
from appliance.cli.output import Output
from appliance.client import ANSWER_SECONDS, AdminClient, socket_path
from appliance.errors import ServerUnreachable, StateRefused, UsageError
from appliance.wire.admin.models import STATUS
from tests.api.admin.lab import LabData

AS_NOBODY = """
import os, sys
from pathlib import Path
from appliance.cli.connect import server_answers
from appliance.errors import ServerUnreachable
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    server_answers(Path(sys.argv[1]))
except ServerUnreachable as error:
    print(error.code)
"""


def test_the_server_does_the_work_when_there_is_one(lab: LabData) -> None:
    with open_services(lab.data) as services:
        app = create_admin_app(services)
        with serve_in_thread(app, socket_path(lab.data)), admin_client(lab.data) as client:
            assert client.call(STATUS).state == "idle"  # what only a server says


def test_an_own_copy_has_no_limit_of_time_and_a_server_has(lab: LabData) -> None:
    """A loaded host answered after more than 30 seconds."""
    with admin_client(lab.data) as client:
        assert client._http.timeout.read is None
    with open_services(lab.data) as services:
        app = create_admin_app(services)
        with serve_in_thread(app, socket_path(lab.data)), admin_client(lab.data) as client:
            assert client._http.timeout.read == ANSWER_SECONDS


def test_without_one_the_command_does_it_and_gives_the_lock_back(lab: LabData) -> None:
    for _ in range(2):
        with admin_client(lab.data) as client:
            assert client.call(STATUS).state == "stopped"
    with open_services(lab.data):
        pass


def test_a_stale_socket_is_no_server(lab: LabData) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(socket_path(lab.data)))
    assert not server_answers(lab.data)
    with admin_client(lab.data) as client:
        assert client.call(STATUS).state == "stopped"


def test_a_command_waits_for_another_one(lab: LabData) -> None:
    held = contextlib.ExitStack()
    held.enter_context(open_services(lab.data))
    free = threading.Timer(0.5, held.close)
    free.start()
    try:
        with admin_client(lab.data) as client:
            assert client.call(STATUS).state == "stopped"
    finally:
        free.join()


def test_a_command_that_waited_asks_the_server_that_started_meanwhile(lab: LabData) -> None:
    with open_services(lab.data) as services:
        listening = contextlib.ExitStack()
        app = create_admin_app(services)
        start = threading.Timer(
            0.5, lambda: listening.enter_context(serve_in_thread(app, socket_path(lab.data)))
        )
        start.start()
        try:
            with admin_client(lab.data) as client:
                assert client.call(STATUS).state == "idle"
        finally:
            start.join()
            listening.close()


def test_a_server_waits_for_a_command(lab: LabData) -> None:
    held = contextlib.ExitStack()
    held.enter_context(open_services(lab.data))
    with pytest.raises(StateRefused), open_services(lab.data):  # positive control: it is held
        pass
    free = threading.Timer(0.3, held.close)
    free.start()
    with open_services(lab.data, patience=30):
        free.join()


def test_a_lock_without_a_server_is_somebody_elses(
    lab: LabData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "PATIENCE_S", 0.1)
    with open_services(lab.data), pytest.raises(StateRefused) as caught, admin_client(lab.data):
        pass
    assert caught.value.code == "data_locked"


def test_what_takes_a_server_says_so(lab: LabData, tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable) as caught, admin_client(lab.data, needs_server=True):
        pass
    assert caught.value.code == "server_required"
    with pytest.raises(UsageError) as missing, admin_client(tmp_path / "x", needs_server=True):
        pass
    assert missing.value.code == "data_missing"


def test_a_path_too_long_for_a_socket_has_no_server(tmp_path: Path) -> None:
    assert not server_answers(tmp_path / ("x" * 120))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_socket_that_this_user_may_not_use(lab: LabData) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, lab.data], capture_output=True, check=True
    )
    assert done.stdout == b"server_unreachable\n"


def test_nothing_is_printed_while_the_lock_is_held(
    lab: LabData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pager that is not left would keep a server from starting."""
    printed: list[str] = []

    def echo(text: str) -> None:
        with open_services(lab.data):  # it is free
            printed.append(text)

    @connect.connected()
    def listed(output: Output, client: AdminClient) -> None:
        output.data(client.call(STATUS), ["one", "two"])
        assert client.private and printed == []

    monkeypatch.setattr("appliance.cli.output.click.echo", echo)
    click.command()(listed).main(["--data", str(lab.data)], obj=Output(), standalone_mode=False)
    assert printed == ["one", "two"]
