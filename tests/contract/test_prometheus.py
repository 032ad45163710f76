"""Prometheus and Alertmanager of Debian read the port: a fault is an alert and ends by itself."""

import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import appliance.incidents
from appliance.auth import certificates
from appliance.clock import SystemClock, iso
from appliance.incidents.prometheus import alert_name
from appliance.incidents.rules import BY_CODE
from tests.api.admin.lab import make_lab
from tests.conftest import need_tool
from tests.forwarding.test_forwarder import until
from tests.forwarding.test_receivers import collector
from tests.ports import free_port
from tests.routing.upstreams.test_connection import client

RULES = Path(appliance.incidents.__file__).parent / "monitoring" / "appliance.rules.yml"
_CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alerts}"]}}]}}]}}
scrape_configs:
  - job_name: appliance
    scheme: https
    authorization: {{credentials_file: {at}/data/metrics.token}}
    tls_config: {{ca_file: {at}/data/tls/ca.pem, server_name: localhost}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
_ROUTE = """\
route: {{receiver: duty, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: duty
    webhook_configs: [{{url: "{duty}", send_resolved: true}}]
"""


@contextmanager
def program(*command: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def listening(*command: str | Path) -> Iterator[int]:
    """A program of Prometheus at a port where it is ready; at another one if that was taken."""
    while True:
        port = free_port()
        with program(*command, f"--web.listen-address=127.0.0.1:{port}") as process:
            until(lambda: process.poll() is not None or is_ready(port))  # noqa: B023
            if process.poll() is None:
                yield port
                return


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def told(got: list[bytes]) -> dict[tuple[str, str], Any]:
    """Alerts that people get, by status and code."""
    alerts = [one for body in list(got) for one in json.loads(body)["alerts"]]
    return {(one["status"], one["labels"]["code"]): one for one in alerts}


def test_promtool_finds_the_rules_sound(tmp_path: Path) -> None:
    promtool = need_tool("promtool")
    done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spoilt = tmp_path / "rules.yml"
    spoilt.write_text(RULES.read_text().replace("sum by (instance)", "sum by instance", 1))
    done = subprocess.run([promtool, "check", "rules", spoilt], capture_output=True, text=True)
    assert done.returncode != 0


def status_of(
    port: int, data: Path, *, token: str = "", certificate: bool = False
) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(data / "tls" / "ca.pem"))
    if certificate:
        context.load_cert_chain(data / "mine" / "c.pem", data / "mine" / "c.key")
    head = {"Authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(f"https://localhost:{port}/metrics", headers=head)
    try:
        with urllib.request.urlopen(asked, context=context, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return 0, b""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    lab, port = make_lab(tmp_path), free_port()
    certificates.issue(lab.data / "tls", ["localhost"], SystemClock())
    client(lab.data / "mine", days=9)
    (lab.data / "metrics.token").write_text("s3cret\n")
    with (lab.data / "appliance.toml").open("a") as config:
        config.write(f'[metrics]\nport = {port}\ntoken = "metrics.token"\n')
        config.write('client_ca = "mine/ca.pem"\n')
    alarmed = ("-m", "tests.contract.alarmed", tmp_path / "codes")
    serve = (sys.executable, *alarmed, "serve", "--port", "0", "--data", lab.data)
    with program(*serve):
        until(lambda: status_of(port, lab.data)[0] == 401)
        yield lab.data, port


def test_the_port_opens_to_the_token_and_to_the_certificate(site: tuple[Path, int]) -> None:
    data, port = site
    assert status_of(port, data, token="wrong")[0] == 401
    status, text = status_of(port, data, token="s3cret")
    assert status == 200 and b"appliance_info{" in text
    assert status_of(port, data, certificate=True)[0] == 200
    promtool = need_tool("promtool")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.long
def test_each_alarm_is_an_alert_and_ends_by_itself(site: tuple[Path, int], tmp_path: Path) -> None:
    """First a real fault, then one of each code."""
    alertmanager, prometheus = need_tool("prometheus-alertmanager"), need_tool("prometheus")
    data, port = site
    with ExitStack() as stack:
        got: list[bytes] = []
        to = stack.enter_context(collector(200, got))
        (tmp_path / "alertmanager.yml").write_text(_ROUTE.format(duty=to))
        alerts = stack.enter_context(
            listening(
                alertmanager,
                f"--config.file={tmp_path}/alertmanager.yml",
                f"--storage.path={tmp_path}/alerts",
                "--cluster.listen-address=",
            )
        )
        (tmp_path / "prometheus.yml").write_text(
            _CONFIG.format(rules=RULES, alerts=alerts, at=data.parent, port=port)
        )
        stack.enter_context(
            listening(
                prometheus,
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/series",
            )
        )
        notes = data / "backups.json"
        made = {"time": "2026-01-01T00:00:00+00:00", "file": "b.tar"}
        notes.write_text(json.dumps({"backups": [made]}))
        until(lambda: ("firing", "backup_old") in told(got))
        now = iso(SystemClock().wall_us()).replace("Z", "+00:00")
        notes.write_text(json.dumps({"backups": [{**made, "time": now}]}))
        until(lambda: ("resolved", "backup_old") in told(got))
        assert {code for _, code in told(got)} == {"backup_old"}
        got.clear()
        (tmp_path / "codes").write_text(" ".join(BY_CODE))
        until(lambda: {code for status, code in told(got) if status == "firing"} == set(BY_CODE))
        for (_, code), alert in told(got).items():
            rule, labels = BY_CODE[code], alert["labels"]
            assert (labels["alertname"], labels["severity"]) == (alert_name(code), rule.level)
            assert labels["instance"] == f"127.0.0.1:{port}"
            shown = alert["annotations"]
            assert shown["summary"] == rule.means
            assert shown["next"] == rule.next.replace("{subject}", "ID")
        (tmp_path / "codes").unlink()
        until(lambda: {code for status, code in told(got) if status == "resolved"} == set(BY_CODE))
