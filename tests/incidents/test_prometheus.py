"""The files for Prometheus and Grafana are those of the table, of series that exist."""

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import appliance.incidents
from appliance.incidents import prometheus
from appliance.incidents.rules import RULES
from appliance.observability.metrics import Metrics

FILES = Path(appliance.incidents.__file__).parent / "monitoring"
_PARTS = ("_bucket", "_sum", "_count")


def series() -> set[str]:
    found = {one.name for one in prometheus.RECORDED}
    for family in text_string_to_metric_families(Metrics().text()):
        found |= {family.name, family.name + "_total", *(family.name + part for part in _PARTS)}
    return found


def named(text: str) -> set[str]:
    return set(re.findall(r"(?:\w+:)?appliance_\w+(?::\w+)?", text))


def test_the_files_that_are_carried_are_those_of_the_table() -> None:
    assert (FILES / "appliance.rules.yml").read_text() == prometheus.rules_file()
    assert (FILES / "appliance.dashboard.json").read_text() == prometheus.dashboard()
    assert {path.name for path in FILES.iterdir()} == {
        "appliance.rules.yml", "appliance.dashboard.json",
    }  # fmt: skip


def test_each_rule_of_the_table_is_one_alert() -> None:
    alerts = re.findall(r"alert: (\w+)", prometheus.rules_file())
    assert alerts == [*(prometheus.alert_name(rule.code) for rule in RULES), "ApplianceAbsent"]
    assert len(set(alerts)) == len(alerts)


def test_rules_and_dashboard_name_series_that_exist() -> None:
    asked = named(prometheus.rules_file())
    panels = json.loads(prometheus.dashboard())["panels"]
    asked |= named(" ".join(target["expr"] for panel in panels for target in panel["targets"]))
    assert len(asked) > 15
    assert asked - series() == set()
    assert named("rate(appliance_nothing_total[5m])") - series()  # the control


def test_each_panel_asks_for_the_chosen_instances() -> None:
    for panel in json.loads(prometheus.dashboard())["panels"]:
        assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"])
