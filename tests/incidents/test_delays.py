"""No alarm comes later than the table says: the waits in the code, and a look after them.

A rule of "10 s" waits for nothing: the bad night finds its fault in the first look.
"""

import re
from dataclasses import replace

import pytest

from appliance.config import BatchesConfig, UpstreamConfig
from appliance.incidents import disk_trend, rules
from appliance.incidents.facts import Facts, PeerFact, ReceiverFact
from appliance.incidents.rules import BY_CODE, RULES, alarms
from appliance.peers import mirroring, ring
from appliance.routing import monitor
from appliance.server import serve
from appliance.server.onlooker import LOOK_S
from appliance.trust.policy.members import STALE_SECONDS
from tests.conftest import CHECKOUT
from tests.incidents.test_rules import NOW, WELL

MINUTE = 60
UNITS = {"s": 1, "min": MINUTE}
PROBE = UpstreamConfig.probe_seconds
WAITS = {
    "log_ends_early": serve._LOOK_AT_THE_STATE_S,
    "state_differs": 2 * serve._LOOK_AT_THE_STATE_S,
    "disk_fills": disk_trend._LEAST_S + disk_trend._APART_S,
    "receiver_behind": rules.RECEIVER_AWAY_US / 1e6,
    "peer_log_differs": ring.EVERY_S + ring._PATIENCE_S,
    "peer_silent": rules.PEER_SILENT_US / 1e6,
    "site_stale": STALE_SECONDS,
    "mirror_away": mirroring.AWAY_S,
    "route_unwatched": monitor._LOOK_S,
    "batch_starves": 2 * BatchesConfig().after_seconds,
    "upstream_down": 2 * PROBE,
    "upstream_host_down": 2 * PROBE,
    "upstream_suspect": PROBE,
}
"""Seconds from the fault until a look can see it."""
AT_AN_EVENT = {
    "people_away": "when a person asks",
    "model_doubtful": "at the re-check",
    "model_unloadable": "at the load",
    "route_weights": "after three weeks",
    "drift_found": "at the daily check (`check_hours`)",
}


def seconds(after: str) -> int | None:
    found = re.match(r"(\d+) (s|min)\b", after)
    return int(found[1]) * UNITS[found[2]] if found else None


def test_the_table_says_how_long_each_takes() -> None:
    untimed = {rule.code: rule.after for rule in RULES if seconds(rule.after) is None}
    assert untimed == AT_AN_EVENT
    late = {
        rule.code: rule.after
        for rule in RULES
        if (most := seconds(rule.after)) is not None and WAITS.get(rule.code, 0) + LOOK_S > most
    }
    assert late == {}
    assert set(WAITS) <= set(BY_CODE)


def test_the_decision_names_each_that_takes_longer_than_a_minute() -> None:
    (page,) = (CHECKOUT / "docs" / "adr").glob("0095-*.md")
    said = page.read_text(encoding="utf-8")
    slow = {rule.code for rule in RULES if (seconds(rule.after) or 0) > MINUTE}
    slow |= {"route_weights", "drift_found"}
    assert {code for code in BY_CODE if f"`{code}`" in said} == slow | {"disk_low"}
    for code in slow:
        figure = BY_CODE[code].after.partition(" (")[0].partition(",")[0]
        (line,) = (line for line in said.splitlines() if f"`{code}`" in line)
        assert not figure[0].isdigit() or figure in line


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("receiver_behind", replace(WELL, receivers=(
            ReceiverFact("siem", "tls://s:1", 3, NOW, "refused", NOW),))),
        ("peer_silent", replace(WELL, peers=(PeerFact("b", NOW, "refused", ""),))),
    ],
)  # fmt: skip
def test_by_a_scripted_clock_the_last_look_in_time_finds_it(code: str, fault: Facts) -> None:
    most = seconds(BY_CODE[code].after)
    assert most is not None

    def found(age: float) -> set[str]:
        return {alarm.code for alarm in alarms(replace(fault, now_us=NOW + int(age * 1e6)))}

    assert found(0) == set()
    assert found(most - LOOK_S) == {code}
    assert found(most - 2 * LOOK_S) == set()  # and no look before it
