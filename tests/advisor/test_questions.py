"""The answers of a person: reading, and refusals by name."""

import json
from datetime import date

import pytest

from appliance.advisor.questions import Range, Thresholds, build, exactly, read
from appliance.errors import Refused
from tests.advisor.scenarios import CLOUD, LEAVES, MACHINE, PEOPLE, asked


def test_a_file_becomes_a_record() -> None:
    found = asked(MACHINE, PEOPLE, CLOUD, LEAVES, load="requests_day = [100, 200, 400]")
    assert found.load.requests_day == Range(100, 200, 400)
    assert found.costs.machine == exactly(2400) and found.regulation.data_may_leave
    (price,) = found.prices
    assert price.as_of == date(2026, 11, 1) and price.quality == Range(0.90, 0.92, 0.94)
    assert found.thresholds == Thresholds()


def test_json_says_the_same() -> None:
    told = {"load": {"requests_day": 5}, "prices": [{"name": "a", "as_of": "2026-11-01"}]}
    found = read(json.dumps(told), as_json=True)
    assert found == build(told) and found.prices[0].as_of == date(2026, 11, 1)


def test_ranges_are_named_settled_and_replaced() -> None:
    found = asked(CLOUD, load="requests_day = [100, 200, 400]")
    assert found.ranges["load.requests_day"] == Range(100, 200, 400)
    assert found.ranges["prices.cloud.million_in"] == exactly(2.5)
    assert "prices.cloud.quality" not in found.ranges
    assert found.settled.load.requests_day == exactly(200)
    other = found.having("prices.cloud.million_in", exactly(9)).having("data.hour", exactly(1))
    assert (other.prices[0].million_in.mid, other.data.hour.mid) == (9, 1)
    assert found.prices[0].million_in.mid == 2.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[weather]\nx = 1", "no question 'weather'"),
        ("[load]\nrequest_day = 1", "load has no 'request_day'"),
        ("[load]\nrequests_day = 'many'", "load.requests_day is a number"),
        ("[load]\nrequests_day = [1, 2]", "P10, P50 and P90"),
        ("[load]\nrequests_day = [3, 2, 1]", "do not ascend"),
        ("[load]\nrequests_day = -1", "between 0 and"),
        ("[load]\nrequests_day = nan", "between 0 and"),
        ("[load]\nrequests_day = true", "is a number"),
        ("[load]\ndays_month = 0", "above 0"),
        ("[domain]\nquality = 1.0", "strictly between 0 and 1"),
        ("[domain]\nform = 'song'", "domain.form"),
        ("[domain]\nchanges_months = 0", "above 0"),
        ("[data]\nexamples = 1.5", "whole number"),
        ("[regulation]\ndata_may_leave = 'no'", "true or false"),
        ("[[prices]]\nas_of = 'soon'", "is a date"),
        ("[[prices]]\nname = 'a'\n[[prices]]\nname = 'a'", "same name"),
        ("[[prices]]\nname = ''", "has a name"),
        ("prices = 3", "a list"),
        ("measured = 3", "a list"),
        ("[[measured]]\noption = 'baseline'\nquality = 0.5\nsource = 's'", "an option of"),
        ("[[measured]]\noption = 'tuned'\nquality = 0.5", "and a source"),
        ("[[measured]]\noption = 'tuned'\nsource = 's'", "a quality"),
        ("[[measured]]\noption = 'tuned'\nquality = 2\nsource = 's'", "shares between"),
        ("[[measured]]\noption = 'tuned'\nquality = 0.5\nsource = 's'", "groups are counted"),
        ("load = 3", "load is a table"),
        ("[load", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        read(text)
    assert caught.value.code == "answers_invalid" and words in caught.value.message
