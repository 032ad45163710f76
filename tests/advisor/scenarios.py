"""Common parts of the golden scenarios: a machine, people, and candidates with intervals."""

from dataclasses import replace
from datetime import date

from appliance.advisor.options import MeasuredFacts, OptionMeasured
from appliance.advisor.questions import Questions, read
from appliance.evals.evidence_reader import Quality

TODAY = date(2026, 11, 27)
MACHINE = """
[costs]
machine = 2400
years = 4
watts_idle = 60
watts_busy = 100
kwh = 0.30
staff_hours = 4
staff_hour = 60
"""
"""2,400 / 48 months = 50.00; idle 60 W x 730 h = 43.8 kWh x 0.30 = 13.14; 4 h x 60 = 240.00."""
FIXED = 50.00 + 13.14 + 240.00
PEOPLE = "[data]\nhour = 45\nlabel_minutes = 1\n"
"""A label of two people is 2 x 1/60 x 45 = 1.50."""
CLOUD = """
[[prices]]
name = "cloud"
million_in = 2.50
million_out = 10
as_of = 2026-11-01
source = "price list of the provider"
quality = [0.90, 0.92, 0.94]
groups = 400
seconds = 1.2
"""
LEAVES = "[regulation]\ndata_may_leave = true\n"


def measured(
    option: str,
    value: float,
    *,
    half: float = 0.03,
    groups: int = 400,
    speed: float | None = 2.0,
    seconds: float | None = 0.5,
    coverage: float | None = None,
) -> OptionMeasured:
    quality = Quality(value, value - half, value + half, groups)
    return OptionMeasured(option, f"the {option}", quality, speed, seconds, coverage=coverage)


def facts(
    *candidates: OptionMeasured, groups: int = 400, examples: int | None = 2_000
) -> MeasuredFacts:
    return MeasuredFacts("orders", candidates, groups=groups, examples=examples)


def asked(
    *parts: str, load: str = "requests_day = 400", domain: str = "quality = 0.85"
) -> Questions:
    return read("\n".join((f"[load]\n{load}\n[domain]\n{domain}", *parts)))


def without_machine(questions: Questions) -> Questions:
    return replace(questions, costs=replace(questions.costs, machine=None))
