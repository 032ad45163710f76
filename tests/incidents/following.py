"""Follows an alarm to each place where a person looks: screen, `status`, `doctor`, metrics, log
lines, incidents and a webhook. `SCRAPED` goes on to Prometheus' rules; Alertmanager is in
tests/contract/test_prometheus.py.
"""

import contextlib
import json
import logging
import re
from collections.abc import Iterator, Mapping

import httpx
import pytest

from appliance.api.admin.metrics import exposition
from appliance.api.admin.private import serve_privately
from appliance.app import Services
from appliance.client import AdminClient, socket_path
from appliance.config import NotifyConfig
from appliance.forwarding.notifier import Notifier
from appliance.incidents.rules import BY_CODE
from appliance.server.onlooker import Onlooker
from appliance.wire.admin.incidents import INCIDENTS
from appliance.wire.admin.models import STATUS
from tests.cli.conftest import run_command
from tests.forwarding.test_forwarder import until
from tests.forwarding.test_receivers import collector
from tests.parts import having
from tui.text import cell
from tui.view.incidents import row

TOLD: set[str] = set()
"""Codes that were in all places in this process."""
ENDED: set[str] = set()
"""Codes that were over in all places."""
SCRAPED: dict[str, str] = {}
"""By code, its line of /metrics during a real fault; alerts.py has Prometheus judge it."""


@contextlib.contextmanager
def followed(services: Services, caplog: pytest.LogCaptureFixture) -> Iterator["Night"]:
    """Of any services: a webhook is added to their notifications."""
    got: list[bytes] = []
    with collector(200, got) as to:
        wanted = {**services.config.notify, "duty": NotifyConfig(to=to, repeat_hours=0)}
        notifier = Notifier(wanted, services.data, services.reader.origin)
        notifier.start()
        try:
            yield Night(having(services, notifier=notifier), caplog, got)
        finally:
            notifier.stop()


class Night:
    """What people see of one appliance; made by `followed`."""

    def __init__(
        self, services: Services, caplog: pytest.LogCaptureFixture, got: list[bytes]
    ) -> None:
        caplog.set_level(logging.INFO, "appliance")
        self.services, self._caplog, self._got = services, caplog, got
        self._onlooker = Onlooker(services, [])

    def tells(self, code: str, words: str = "") -> None:
        self.tell({code: words})

    def tell(self, wanted: Mapping[str, str]) -> None:
        """Each alarm is in all places; `wanted` has words of each message."""
        self._onlooker.look()
        place = socket_path(self.services.data)
        with serve_privately(self.services) as path:
            place.symlink_to(path)
            try:
                with AdminClient(path) as client:
                    status, listed = client.call(STATUS), client.call(INCIDENTS).incidents
                done = run_command("doctor", "--json", data=self.services.data)
                transport = httpx.HTTPTransport(uds=str(path))
                with httpx.Client(
                    transport=transport, base_url="http://appliance", timeout=None
                ) as http:
                    metrics = http.get("/metrics").text
            finally:
                place.unlink()
        assert done.status == 1
        told = {incident.code: incident for incident in status.incidents}
        problems = {problem["code"]: problem for problem in done.document["problems"]}
        rows = {one.code: " ".join(cell(part).plain for part in row(one, 0.0)) for one in listed}
        for code, words in wanted.items():
            TOLD.add(code)
            assert code in told, sorted(told)
            assert words in told[code].message and told[code].message in status.alarms
            assert told[code].next and told[code].since > "2020"
            assert _plain(problems[code]["message"]) == _plain(told[code].message)
            assert problems[code]["hint"] == told[code].next
            level = BY_CODE[code].level
            series = f'appliance_alarms{{code="{code}",level="{level}"}} '
            (SCRAPED[code],) = (line for line in metrics.splitlines() if line.startswith(series))
            assert SCRAPED[code] != f"{series}0.0"
            wanted_level = logging.ERROR if level == "critical" else logging.WARNING
            lines = [r for r in self._caplog.records if getattr(r, "code", "") == code]
            assert any(
                r.levelno == wanted_level and r.getMessage().startswith("alarm ") for r in lines
            )
            assert code in rows[code]
            assert _plain(cell(told[code].message).plain) in _plain(rows[code])
            until(lambda code=code: code in self._sent("began"))  # type: ignore[misc]

    def ends(self, *codes: str) -> None:
        self._onlooker.look()
        kept = {one.code for one in self.services.incidents.all(ended=False)}
        metrics = exposition(self.services, ())
        for code in codes:
            ENDED.add(code)
            assert f"alarm {code} is over" in self._caplog.text
            assert code not in kept
            level = BY_CODE[code].level
            assert f'appliance_alarms{{code="{code}",level="{level}"}} 0.0' in metrics
            until(lambda code=code: code in self._sent("ended"))  # type: ignore[misc]

    def _sent(self, what: str) -> set[str]:
        return {one["code"] for body in list(self._got) for one in json.loads(body)[what]}


def _plain(message: str) -> str:
    """Without its numbers: free space changes from look to look."""
    return re.sub("[0-9]+", "", message)
