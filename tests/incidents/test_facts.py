"""Facts that are not known are nothing wrong."""

from appliance.incidents.facts import Facts
from appliance.incidents.rules import alarms


def test_facts_that_nobody_gathered_are_no_alarm() -> None:
    assert alarms(Facts(now_us=1)) == []
