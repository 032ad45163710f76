"""`promtool test rules`: which alerts fire for series that were scraped, and when."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import appliance.incidents
from appliance.incidents.prometheus import alert_name
from appliance.incidents.rules import BY_CODE
from appliance.types import Json
from tests.conftest import need_tool

RULES = Path(appliance.incidents.__file__).parent / "monitoring" / "appliance.rules.yml"
_BEGINS, _LASTS, _EVERY = 6, 6, 10
"""Scrapes without the fault, then with it, and the seconds between two."""


def tried(directory: Path, scraped: Mapping[str, str], rules: Path = RULES) -> tuple[int, str]:
    """Exit status of promtool, and its words.

    An alert must fire one scrape after its metric, with the table's words, and end likewise.

    Each code has an instance of its own, so an alert of another one's metric is one too many.

    Args:
        scraped: by code, a line of /metrics while that code was wrong.
    """
    values = " ".join(["0"] * _BEGINS + ["{}"] * _LASTS + ["0"] * 3)
    series: list[Json] = []
    expected: list[Json] = []
    for code, line in scraped.items():
        name, _, value = line.rpartition(" ")
        rule, labels = BY_CODE[code], f',instance="{code}"}}'
        series.append(
            {"series": name.replace("}", labels), "values": values.format(*[value] * _LASTS)}
        )
        fires: Json = {
            "exp_labels": {"severity": rule.level, "code": code, "instance": code},
            "exp_annotations": {
                "summary": rule.means, "next": rule.next.replace("{subject}", "ID"),
            },
        }  # fmt: skip
        expected += [
            {"eval_time": f"{at * _EVERY}s", "alertname": alert_name(code), "exp_alerts": alerts}
            for at, alerts in (
                (_BEGINS - 1, []), (_BEGINS + 1, [fires]), (_BEGINS + _LASTS + 1, []),
            )
        ]  # fmt: skip
    every = f"{_EVERY}s"
    unit: Json = {
        "rule_files": [str(rules)],
        "evaluation_interval": every,
        "tests": [{"interval": every, "input_series": series, "alert_rule_test": expected}],
    }
    path = directory / "unit.yml"
    path.write_text(json.dumps(unit))
    done = subprocess.run(
        [need_tool("promtool"), "test", "rules", path], capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr
