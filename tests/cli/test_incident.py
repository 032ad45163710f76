"""`appliance incident`: list, show, acknowledge."""

import json

import pytest

from appliance.app import open_services
from appliance.incidents.rules import Alarm
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command
from tests.forwarding.test_receivers import collector

ALARM = Alarm("disk_low", "warning", "", "900 MiB of disk are free.", "Free disk space.")


def test_an_incident_from_its_beginning_to_its_end(run: Run, lab: LabData) -> None:
    assert "No incidents" in run("incident", "list").out
    with open_services(lab.data) as services:
        services.incidents.look([ALARM], services.clock.wall_us())
    listed = run("incident", "list")
    assert "disk_low" in listed.out and "warning" in listed.out
    done = run("incident", "ack", "1", "--note", "disk ordered")
    assert "disk ordered" in done.out and "next: Free disk space." in done.out
    entry = run("audit", "search", "--kind", "admin", "--newest", "--json").document["entries"][0]
    said = entry["body"]
    assert said["action"] == "incident_ack" and said["reason"] == "disk ordered"
    assert (said["incident"], said["code"]) == (1, "disk_low")
    with open_services(lab.data) as services:
        services.incidents.look([], services.clock.wall_us())
    assert "No incidents" in run("incident", "list").out
    (one,) = run("incident", "list", "--all", "--json").document["incidents"]
    assert one["ended"] and one["acked_by"]


@pytest.mark.parametrize("verb", ["show", "ack"])
def test_an_unknown_incident_is_refused_and_nothing_is_recorded(run: Run, verb: str) -> None:
    before = run("audit", "tail", "--json").document["entries"]
    assert run("incident", verb, "7", "--json").code == (1, "incident_unknown")
    assert run("audit", "tail", "--json").document["entries"] == before


def test_a_failure_of_the_service_is_told_without_a_server(run: Run, lab: LabData) -> None:
    assert "[notify]" in run("incident", "notice").out
    got: list[bytes] = []
    with collector(200, got) as to, (lab.data / "appliance.toml").open("a") as file:
        file.write(f'[notify.duty]\nto = "{to}"\n[notify.gone]\nto = "http://127.0.0.1:9/"\n')
        file.flush()
        done = run_command("incident", "notice", "--json", data=lab.data)
    assert done.status == 1
    found = done.document["destinations"]
    assert found["duty"] == "" and "refused" in found["gone"]
    (told,) = [json.loads(body) for body in got]
    assert told["began"][0]["code"] == "service_failed" and "journalctl" in told["text"]
