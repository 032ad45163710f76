"""`appliance usage`: table, CSV, JSON and bars."""

import csv

from appliance.app import open_services
from appliance.cli.usage import bars
from appliance.wire.admin.metering import UsageRow
from tests.api.admin.lab import LabData
from tests.audit.logs import intent, outcome
from tests.cli.conftest import Run


def row(name: str, seconds: float) -> UsageRow:
    return UsageRow(
        period="2026-11", name=name, requests=0, answers=0, failed=0, prompt_tokens=0,
        completion_tokens=0, seconds=seconds,
    )  # fmt: skip


def test_usage_by_app_and_day(run: Run, lab: LabData) -> None:
    assert "`appliance key new NAME`" in run("usage").out
    with open_services(lab.data) as services:
        for app in ("=planner", "wiki", "wiki"):
            (asked,) = services.audit.append(intent(app, app=app)).result()
            services.audit.append(outcome(asked.seq, app)).result()
    shown = run("usage", "--per", "month")
    head, first, second = shown.out.splitlines()
    assert head.split()[:3] == ["PERIOD", "NAME", "REQUESTS"]
    assert (first.split()[1:3], second.split()[1:3]) == (["=planner", "1"], ["wiki", "2"])
    assert "The counts are complete since 20" in shown.err
    (found,) = run("usage", "--by", "model", "--json").document["rows"]
    assert (found["name"], found["requests"]) == ("m1", 3)
    cells = list(csv.reader(run("usage", "--csv").out.splitlines()))
    assert cells[0][:3] == ["period", "name", "requests"] and cells[1][1] == "'=planner"
    assert "█" in run("usage", "--chart", "requests").out
    assert run("usage", "--until", "2020-01-01", "--json").document["rows"] == []
    assert run("usage", "--since", "soon", "--json").code == (1, "invalid_value")


def test_bars_are_as_long_as_their_values() -> None:
    lines = list(bars([row("a", 8), row("long", 4), row("b", 0)], lambda one: one.seconds, 40))
    assert [line.count("█") for line in lines] == [22, 11, 0]
    assert max(map(len, lines)) == 40 and lines[1].startswith("2026-11  long  4  █")
