"""`appliance logs`, without a server and while one writes."""

import json
import subprocess
import sys

from appliance.observability import log_file
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command
from tests.cli.test_serve import server


def test_the_lines_of_a_server_that_runs_and_of_one_that_ended(lab: LabData, run: Run) -> None:
    assert "No lines" in run("logs").out
    with server(lab.data, "listening on"):
        found = run("logs", "--json").document
        assert any("listening on" in line["message"] for line in found["lines"])
        follow = [sys.executable, "-u", "-m", "appliance", "logs", "-f", "--json"]
        with subprocess.Popen(
            [*follow, "--data", lab.data], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            first = json.loads(next(process.stdout))
            assert first["message"]
            process.terminate()
    after = run("logs").out
    assert "listening on" in after and "stopping" in after and "[-] info" in after
    assert run("logs", "--grep", "nothing like it", "--json").document["lines"] == []
    assert run("logs", "--level", "error", "--json").document["lines"] == []


def test_hostile_lines_cannot_steer_the_terminal(lab: LabData, run: Run) -> None:
    path = log_file.log_file(lab.data)
    path.parent.mkdir()
    path.write_text(json.dumps({"id": "1", "level": "error", "message": "a\x1b[2J\nb"}) + "\n")
    assert "\x1b" not in run("logs").out and "\\x1b[2J\\x0ab" in run("logs").out


def test_a_directory_that_is_none_is_named(lab: LabData) -> None:
    assert run_command("logs", "--json", data=lab.data.parent).code == (2, "data_missing")
