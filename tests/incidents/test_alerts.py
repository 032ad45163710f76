"""Prometheus' own program: each code's metric fires its alert within a scrape and ends it."""

from pathlib import Path

import pytest

from appliance.incidents.rules import RULES
from tests.incidents import alerts

SCRAPED = {r.code: f'appliance_alarms{{code="{r.code}",level="{r.level}"}} 1.0' for r in RULES}


def test_the_metric_of_each_code_fires_its_alert_and_ends_it(tmp_path: Path) -> None:
    status, said = alerts.tried(tmp_path, SCRAPED)
    assert (status, "SUCCESS" in said) == (0, True), said


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("> 0", "> 1"),
        ('code=\\"disk_low\\"}) >', 'code=\\"disk_slow\\"}) >'),
        ("severity: warning, code: disk_low", "severity: critical, code: disk_low"),
        ('"Little disk space is left"', '"Nothing"'),
    ],
)
def test_the_control_a_rule_that_is_spoilt(tmp_path: Path, right: str, wrong: str) -> None:
    rules, text = tmp_path / "spoilt.yml", alerts.RULES.read_text()
    assert right in text
    rules.write_text(text.replace(right, wrong))
    status, said = alerts.tried(tmp_path, {"disk_low": SCRAPED["disk_low"]}, rules)
    assert status == 1 and "FAILED" in said


def test_the_control_a_metric_that_stays_at_zero(tmp_path: Path) -> None:
    line = SCRAPED["disk_low"].replace("1.0", "0.0")
    assert alerts.tried(tmp_path, {"disk_low": line})[0] == 1
