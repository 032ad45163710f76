"""The table of alarms as rules for Prometheus, and the metrics as a dashboard for Grafana. Pure.

docs/generate.py makes the files of both.

Sources: Prometheus 2.53, "Recording rules", "Alerting rules"; Grafana 11, dashboard JSON model.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.incidents.rules import RULES, Rule
from appliance.types import Json

_ABSENT: Final = "2m"
_RATE: Final = "[5m]"


@dataclass(frozen=True)
class RecordedSeries:
    """A series that Prometheus computes from others and keeps."""

    name: str
    expr: str


def _quantile(share: str, histogram: str) -> str:
    buckets = f"rate(appliance_{histogram}_bucket{_RATE})"
    return f"histogram_quantile({share}, sum by (instance, model, le) ({buckets}))"


def _rate(counter: str, by: str) -> str:
    return f"sum by (instance, {by}) (rate(appliance_{counter}_total{_RATE}))"


RECORDED: Final = (
    RecordedSeries(
        "instance_model:appliance_completion_tokens:rate5m", _rate("completion_tokens", "model")
    ),
    RecordedSeries(
        "instance_model:appliance_prompt_tokens:rate5m", _rate("prompt_tokens", "model")
    ),
    RecordedSeries("instance_status:appliance_generations:rate5m", _rate("generations", "status")),
    RecordedSeries("instance_code:appliance_refusals:rate5m", _rate("refusals", "code")),
    RecordedSeries("instance_model:appliance_ttft_seconds:p50", _quantile("0.5", "ttft_seconds")),
    RecordedSeries("instance_model:appliance_ttft_seconds:p95", _quantile("0.95", "ttft_seconds")),
    RecordedSeries(
        "instance_model:appliance_queue_seconds:p95", _quantile("0.95", "queue_seconds")
    ),
)


@dataclass(frozen=True)
class DashboardPanel:
    """A panel: its title, Grafana's name of its unit, and its series with a legend each.

    Attributes:
        kind: timeseries, stat or table.
    """

    title: str
    unit: str
    series: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


PANELS: Final = (
    DashboardPanel("Alarms", "none", (("appliance_alarms > 0", "{{level}} {{code}}"),), "table"),
    DashboardPanel("State", "none", (("appliance_state == 1", "{{state}}"),), "stat"),
    DashboardPanel("Tokens written", "short", ((RECORDED[0].name, "{{model}}"),)),
    DashboardPanel("Tokens read", "short", ((RECORDED[1].name, "{{model}}"),)),
    DashboardPanel("Answers by status", "reqps", ((RECORDED[2].name, "{{status}}"),)),
    DashboardPanel("Refusals by code", "reqps", ((RECORDED[3].name, "{{code}}"),)),
    DashboardPanel(
        "Time to the first token", "s",
        ((RECORDED[4].name, "p50 {{model}}"), (RECORDED[5].name, "p95 {{model}}")),
    ),
    DashboardPanel("Wait for a turn, p95", "s", ((RECORDED[6].name, "{{model}}"),)),
    DashboardPanel(
        "Requests", "short",
        (("appliance_running", "running {{model}}"), ("appliance_queued", "waiting {{model}}")),
    ),
    DashboardPanel("KV cells in use", "short", (("appliance_kv_cells_used", "{{model}}"),)),
    DashboardPanel(
        "Disk", "bytes", (("appliance_disk_free_bytes", "free"), ("appliance_disk_bytes", "size"))
    ),
    DashboardPanel(
        "Log: entries without a witness or receiver", "short",
        (
            ("appliance_audit_unwitnessed", "no witness"),
            ("appliance_forward_behind_entries", "{{receiver}}"),
        ),
    ),
    DashboardPanel(
        "Hosts of upstreams", "short", (("appliance_upstream_hosts", "{{upstream}} {{state}}"),)
    ),
    DashboardPanel(
        "Ages", "s",
        (
            ("time() - appliance_backup_timestamp_seconds", "since the backup"),
            ("appliance_certificate_end_timestamp_seconds - time()", "to the certificate's end"),
        ),
    ),
)  # fmt: skip


def rules_file() -> str:
    """Recording and alerting rules as YAML."""
    lines = ["# Made by docs/generate.py from appliance/incidents/; change the source.", "groups:"]
    lines += ["  - name: appliance-recorded", "    rules:"]
    for one in RECORDED:
        lines += [f"      - record: {one.name}", f"        expr: {_quoted(one.expr)}"]
    lines += ["  - name: appliance-alarms", "    rules:"]
    for rule in RULES:
        lines += _alert(rule)
    lines += [
        "      - alert: ApplianceAbsent",
        '        expr: "up{job=\\"appliance\\"} == 0 or absent(up{job=\\"appliance\\"})"',
        f"        for: {_ABSENT}",
        "        labels: {severity: critical, code: absent}",
        "        annotations:",
        '          summary: "Prometheus cannot read the appliance"',
        '          next: "`systemctl status appliance`, then its network and [metrics]."',
    ]
    return "\n".join(lines) + "\n"


def alert_name(code: str) -> str:
    """The name of the alert of a rule, such as ApplianceDiskLow."""
    return "Appliance" + "".join(part.title() for part in code.split("_"))


def dashboard() -> str:
    """The dashboard as JSON that Grafana imports."""
    panels: list[Json] = [dict(_panel(number, one)) for number, one in enumerate(PANELS)]
    source: Json = {
        "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus",
    }  # fmt: skip
    instance: Json = {
        "name": "instance", "type": "query", "query": "label_values(appliance_info, instance)",
        "datasource": {"type": "prometheus", "uid": "${datasource}"}, "includeAll": True,
        "multi": True, "refresh": 2,
    }  # fmt: skip
    made: dict[str, Json] = {
        "title": "Appliance", "uid": "appliance", "schemaVersion": 39, "version": 1,
        "timezone": "utc", "refresh": "30s", "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source, instance]}, "panels": panels,
    }  # fmt: skip
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _alert(rule: Rule) -> list[str]:
    of = f'appliance_alarms{{code="{rule.code}"}}'
    return [
        f"      - alert: {alert_name(rule.code)}",
        f"        expr: {_quoted(f'sum by (instance) ({of}) > 0')}",
        f"        labels: {{severity: {rule.level}, code: {rule.code}}}",
        "        annotations:",
        f"          summary: {_quoted(rule.means)}",
        f"          next: {_quoted(rule.next.replace('{subject}', 'ID'))}",
    ]


def _panel(number: int, panel: DashboardPanel) -> Iterator[tuple[str, Json]]:
    source: Json = {"type": "prometheus", "uid": "${datasource}"}
    targets: list[Json] = [
        {
            "refId": chr(ord("A") + at),
            "datasource": source,
            "expr": _of_instance(expr),
            "legendFormat": legend,
        }
        for at, (expr, legend) in enumerate(panel.series)
    ]
    yield "id", number + 1
    yield "title", panel.title
    yield "type", panel.kind
    yield "datasource", source
    yield "gridPos", {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)}
    yield "fieldConfig", {"defaults": {"unit": panel.unit}, "overrides": []}
    yield "targets", targets


def _of_instance(expr: str) -> str:
    words = expr.split(" ")
    chosen = '{instance=~"$instance"}'
    return " ".join(w + chosen if "appliance_" in w else w for w in words)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
