"""`appliance serve --detach`: a server that stays."""

import os
import signal

import pytest

from appliance.cli import detached
from appliance.errors import Refused
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command


def test_it_returns_when_the_server_answers_and_the_server_stays(lab: LabData, run: Run) -> None:
    done = run("serve", "--detach", "--port", "0", "--json")
    pid = done.document["pid"]
    try:
        assert os.getsid(pid) == pid  # not of this terminal
        assert run("status", "--json").document["state"] == "idle"
        assert run("serve", "--detach", "--json").code == (1, "data_locked")
        assert run("serve", "--stop", "--port", "0").status == 2
        assert run("serve", "--stop", "--json").document == {"pid": pid}
        assert os.waitpid(pid, os.WNOHANG)[0] == pid  # it has ended
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
    assert run("status", "--json").document["state"] == "stopped"
    assert run("serve", "--stop", "--json").code == (3, "server_required")


def test_a_server_that_ends_says_why(lab: LabData, run: Run) -> None:
    with pytest.raises(Refused, match="bind_refused") as caught:
        detached.start(lab.data, ["--host", "192.0.2.1"])
    assert caught.value.code == "server_not_started"


def test_json_belongs_to_detach_and_a_directory_must_be_one(lab: LabData, run: Run) -> None:
    assert run("serve", "--json").status == 2
    done = run_command("serve", "--detach", "--json", data=lab.data.parent)
    assert done.code == (2, "data_missing")
