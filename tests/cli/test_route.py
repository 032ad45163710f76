"""`route`: from a directory to a certificate and away again, by commands, without a model."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.cli.route import _watched
from appliance.client import socket_path
from appliance.wire.admin.routes import Route, Traffic, Watched
from tests.api.admin.lab import LabData
from tests.auditor.test_verify_certificate import run
from tests.cli.conftest import Done, run_command
from tests.routing.example import ROUTE
from tests.routing.world import DATA_ID, ROUTE_ID, copied
from tests.smol import SMALL

pytestmark = pytest.mark.xdist_group("routes")


@pytest.fixture(scope="module")
def lab(route_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabData]:
    """Its server runs, with a route and a sealed dataset."""
    data = copied(route_data, tmp_path_factory.mktemp("command"))
    with open_services(data, config=SMALL) as services:
        with serve_in_thread(create_admin_app(services), socket_path(data)):
            yield LabData(data)
        socket_path(data).unlink()


def command(lab: LabData, *arguments: str | Path) -> Done:
    return run_command(*arguments, data=lab.data)


def test_a_directory_is_checked_signed_and_imported(lab: LabData, tmp_path: Path) -> None:
    path = tmp_path / "licences"
    path.mkdir()
    (path / "route.toml").write_text(ROUTE.replace("error = 0.05", "error = 5"))
    refused = command(lab, "route", "check", path, "--json")
    assert refused.code == (1, "route_invalid")
    assert command(lab, "route", "sign", path, "--key", lab.key("publisher")).status == 1
    assert not (path / "model.sig").exists()
    (path / "route.toml").write_text(ROUTE)
    checked = command(lab, "route", "check", path, "--json").document
    assert (checked["kind"], checked["error_micros"]) == ("route", 50_000)
    assert command(lab, "route", "sign", path, "--key", lab.key("publisher")).status == 0
    assert command(lab, "route", "import", path, "--json").document["state"] == "verified"
    listed = command(lab, "route", "list", "--json").document["routes"]
    assert [(r["id"], r["state"]) for r in listed] == [
        ("licences", "verified"), (ROUTE_ID, "approved"),
    ]  # fmt: skip


def test_a_route_is_calibrated_shown_and_suspended(lab: LabData, tmp_path: Path) -> None:
    before = command(lab, "route", "show", ROUTE_ID)
    assert "the first stage answers nothing: route_not_certified" in before.out
    assert command(lab, "route", "what-if", ROUTE_ID, "--json").code == (1, "report_missing")
    none = command(lab, "route", "suspend", ROUTE_ID, "--reason", "x", "--json")
    assert none.code == (1, "route_not_certified")
    asked = ("route", "calibrate", ROUTE_ID, "--data", DATA_ID, "--as", "publisher")
    stranger = command(lab, *asked, "--key", lab.key("approver-1"), "--json")
    assert stranger.code == (1, "specifier_not_allowed")
    milder = command(lab, *asked, "--key", lab.key("publisher"), "--error", "0.2", "--json")
    assert milder.code == (1, "specification_other")
    done = command(lab, *asked, "--key", lab.key("publisher"), "--json")
    assert done.status == 0, done.err
    assert "at most 10 % are wrong" in done.err and "4 left" in done.err
    found = done.document
    wanted = {"verdict", "alpha", "delta", "groups", "groups_needed", "threshold", "coverage"}
    assert wanted | {"certificate"} <= set(found)
    assert (found["verdict"], found["alpha"], found["looks_left"]) == ("certified", 0.1, 3)
    shown = command(lab, "route", "show", ROUTE_ID, "--json").document
    assert shown["certified"] and shown["certificates"][0]["id"] == found["certificate"]
    assert "error at most 10 %" in command(lab, "route", "show", ROUTE_ID).out
    curve = command(lab, "route", "what-if", ROUTE_ID, "--json").document
    assert curve["points"][-1]["coverage"] == 1 and curve["threshold"] == found["threshold"]
    assert "ANSWERED" in command(lab, "route", "what-if", ROUTE_ID).out
    page = tmp_path / "page.html"
    assert command(lab, "route", "report", ROUTE_ID, "--out", page).status == 0
    assert "Certified" in page.read_text()
    _verified_elsewhere(lab, tmp_path, found["id"])
    seen = Watched(
        waiting=0, labelled=9, wrong=0, days=3, evidence=0.9,
        traffic=Traffic(
            groups=80, effective=8.4, unknown=0.5, apart=0.25, error=1.0, beyond=True
        ),
    )  # fmt: skip
    told = _watched(Route.model_validate({**shown, "watched": seen.model_dump()}))
    assert "80 groups, which weigh as 8 of one size: 50 % of them to" in told
    assert "25 % apart" in told and "at most 100 % are wrong" in told
    taken = command(
        lab, "route", "suspend", ROUTE_ID, "--reason", "a customer complained", "--json"
    )
    assert taken.document["why"] == "route_suspended"
    assert taken.document["certificates"][0]["suspended"] == "a customer complained"
    actions = command(lab, "audit", "search", "--kind", "admin", "--json").out
    assert "route_suspended" in actions and "a customer complained" in actions


def _verified_elsewhere(lab: LabData, path: Path, job: int) -> None:
    """An auditor's bare Python comes to the same threshold; outcomes that leave end the looks."""
    certificate, outcomes, key = (path / name for name in ("c.json", "o.jsonl", "evaluator.pub"))
    assert command(lab, "route", "export", ROUTE_ID, "--out", certificate).status == 0
    twice = command(lab, "route", "export", ROUTE_ID, "--out", certificate, "--json")
    other = command(lab, "route", "export", ROUTE_ID, "--certificate", "1", "--out", key, "--json")
    assert (twice.code, other.code) == ((2, "data_exists"), (1, "route_not_certified"))
    asked = ("eval", "outcomes", str(job), "--out", outcomes)
    assert command(lab, *asked, "--json").code == (1, "looks_would_end")
    assert command(lab, *asked, "--end-looks").status == 0
    key.write_text(command(lab, "eval", "key", "--json").document["pem"])
    proof = path / "proof.json"
    item = json.loads(outcomes.read_text().splitlines()[3])["item"]
    assert command(lab, "eval", "outcomes", str(job), "--item", item, "--out", proof).status == 0
    status, told = run(certificate, key, "--outcomes", outcomes, "--proof", proof)
    assert status == 0 and "judged again" in told and repr(item) in told
    again = command(lab, "route", "show", ROUTE_ID).out
    assert "answers count alike" in again


def test_a_route_that_is_none_is_refused(lab: LabData) -> None:
    for name in ("show", "what-if"):
        assert command(lab, "route", name, "nothing").status == 1
    assert command(lab, "route", "show", DATA_ID, "--json").code == (1, "artifact_kind")
