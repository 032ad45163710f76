"""The advisor against arithmetic by hand, to the cent; and every "don't"."""

from dataclasses import replace
from datetime import date

import pytest

from appliance.advisor.options import MeasuredFacts, OptionMeasured, cascade
from appliance.advisor.questions import Questions
from appliance.advisor.verdict import Recommendation, advise, document
from appliance.evals.evidence_reader import CertifiedRoute, Quality
from tests.advisor.scenarios import (
    CLOUD,
    FIXED,
    LEAVES,
    MACHINE,
    PEOPLE,
    TODAY,
    asked,
    facts,
    measured,
    without_machine,
)


def said(questions: Questions, known: MeasuredFacts, today: date = TODAY) -> Recommendation:
    return advise(questions, known, today)


def cost(advice: Recommendation, option: str) -> float:
    row = next(row for row in document(advice).document["options"] if row["name"] == option)
    assert row["cost_month"] is not None, row
    return float(row["cost_month"]["p50"])


def test_1_a_classifier_is_enough() -> None:
    load = "requests_day = 400\nbusiest_hour = 100"
    known = facts(measured("baseline", 0.92, speed=800), measured("larger", 0.95, speed=0.02))
    found = said(asked(MACHINE, PEOPLE, load=load), known)
    assert found.verdict == "baseline" and found.donts == ("no_language_model", "no_fine_tuning")
    assert found.answer.startswith("Don't use a language model")
    # Every 12 months 300 items are labelled again: 300 x 1.50 / 12 = 37.50.
    # 12,000 requests / (800 x 3,600) h x 40 W x 0.30 / 1,000 = 0.00005.
    assert cost(found, "baseline") == 340.64 == round(FIXED + 37.50 + 0.00005, 2)
    # The larger model needs no labels and two machines: 100 / (0.02 x 3,600 x 0.7 = 50.4) = 1.98.
    # 12,000 / 72 = 166.667 h x 40 W = 6.66667 kWh x 0.30 = 2.00.
    assert cost(found, "larger") == 368.28 == round(FIXED + 50 + 13.14 + 2.00, 2)


def test_1_and_where_it_is_the_dearer_one_it_is_not_chosen() -> None:
    """On one machine the classifier's labels make it dearer by 37.48."""
    known = facts(measured("baseline", 0.92, speed=800), measured("larger", 0.95))
    found = said(asked(MACHINE, PEOPLE), known)
    assert found.verdict == "larger"
    none_again = replace(asked(MACHINE, PEOPLE), data=replace(asked().data, relabel=0))
    assert said(none_again, known).verdict == "baseline"


def test_2_a_prompt_is_enough_so_do_not_fine_tune() -> None:
    known = facts(measured("baseline", 0.70), measured("prompt", 0.90), measured("tuned", 0.93))
    found = said(asked(MACHINE, PEOPLE), known)
    assert found.verdict == "prompt" and found.donts == ("no_fine_tuning",)
    assert found.answer.startswith("Don't fine-tune")
    # 12,000 / (2 x 3,600) = 1.66667 h x 40 W = 0.06667 kWh x 0.30 = 0.02.
    assert cost(found, "prompt") == 303.16 == round(FIXED + 0.02, 2)
    assert cost(found, "tuned") == 340.66 == round(FIXED + 0.02 + 37.50, 2)


def test_3_facts_that_change_weekly_belong_into_a_collection() -> None:
    known = facts(
        measured("prompt", 0.60), measured("retrieval", 0.90, speed=1), measured("tuned", 0.92)
    )
    found = said(asked(MACHINE, domain="quality = 0.85\nfacts_days = 7"), known)
    assert found.verdict == "retrieval" and "no_fine_tuning" in found.donts
    # 12,000 / 3,600 = 3.33333 h x 40 W = 0.13333 kWh x 0.30 = 0.04.
    assert cost(found, "retrieval") == 303.18 == round(FIXED + 0.04, 2)
    tuned = next(option for option in found.options if option.option == "tuned")
    assert (tuned.state, tuned.why) == (
        "excluded", "facts change every 7 days: weights would be out of date",
    )  # fmt: skip


LOADED = "requests_day = 20000\nbusiest_hour = 4000\ntokens_in = 800\ntokens_out = 100"


def test_4_at_twenty_thousand_a_day_the_tuned_model_pays() -> None:
    known = facts(measured("prompt", 0.60), measured("tuned", 0.92))
    found = said(asked(MACHINE, PEOPLE, CLOUD, LEAVES, load=LOADED), known)
    assert found.verdict == "tuned" and found.donts == ()
    # A request elsewhere: (800 x 2.50 + 100 x 10) / 1,000,000 = 0.003; x 600,000 = 1,800.00.
    assert cost(found, "cloud") == 1800.00
    # 4,000 an hour / (2 x 3,600 x 0.7 = 5,040) is one machine. 600,000 / 7,200 = 83.3333 h x 40 W
    # = 3.33333 kWh x 0.30 = 1.00.
    assert cost(found, "tuned") == 341.64 == round(FIXED + 1.00 + 37.50, 2)
    # 303.14 + 37.50 = 340.64 are fixed; a request costs 0.003 elsewhere and 0.0000016667 here:
    # 340.64 / 0.00299833 / 30 days.
    assert dict(found.break_even) == {"cloud": pytest.approx(340.64 / 0.0029983333 / 30, abs=0.01)}


BUSY = """
[costs]
machine = 12000
years = 4
"""


def test_5_three_percent_utilisation_flips_the_verdict_of_full_throughput() -> None:
    # 3 % of 730 h = 21.9 h x 3,600 x 2 documents = 157,680 requests a month = 5,256 a day.
    load = "requests_day = 5256\nbusiest_hour = 700\ntokens_in = 320\ntokens_out = 20"
    known = facts(measured("prompt", 0.60), measured("tuned", 0.91))
    found = said(asked(BUSY, CLOUD, LEAVES, load=load), known)
    assert found.utilisation == pytest.approx(0.03, abs=1e-12)
    # (320 x 2.50 + 20 x 10) / 1,000,000 = 0.001; x 157,680 = 157.68. The machine: 12,000 / 48.
    assert (cost(found, "cloud"), cost(found, "tuned")) == (157.68, 250.00)
    assert found.verdict == "cloud" and found.full_throughput == "tuned"
    assert any("full throughput says tuned small model" in note for note in found.notes)
    # Always busy, the same machine is the cheaper one: 250.00 x 0.03 = 7.50 for these requests.
    full = said(asked(BUSY, CLOUD, LEAVES, load=load.replace("5256", "175200")), known)
    assert full.verdict == full.full_throughput == "tuned"


def test_6_a_cascade_leaves_the_rest_to_people() -> None:
    known = facts(
        measured("prompt", 0.70), measured("tuned", 0.80), measured("cascade", 0.96, coverage=0.75)
    )
    extra = MACHINE.replace("[costs]", "[costs]\ndefer_minutes = 0.5")
    found = said(asked(extra, PEOPLE), known)
    assert found.verdict == "cascade" and found.donts == ()
    # A quarter of 12,000 x half a minute = 1,500 minutes = 25 h x 45 = 1,125.00.
    assert cost(found, "cascade") == 1465.66 == round(FIXED + 0.02 + 37.50 + 1125.00, 2)


def test_7_the_larger_local_model_on_two_machines() -> None:
    load = "requests_day = 8000\nbusiest_hour = 2000\nseconds = 5"
    known = facts(
        measured("prompt", 0.60), measured("larger", 0.91, speed=0.5, seconds=4.0),
    )  # fmt: skip
    found = said(asked(MACHINE, load=load), known)
    assert found.verdict == "larger"
    # 2,000 an hour / (0.5 x 3,600 x 0.7 = 1,260) = 1.59: two machines, 100.00, and 26.28 idle.
    # 240,000 / 1,800 = 133.333 h x 40 W = 5.33333 kWh x 0.30 = 1.60.
    assert cost(found, "larger") == 367.88 == round(2 * 50 + 2 * 13.14 + 1.60 + 240, 2)
    slow = said(asked(MACHINE, load=load.replace("seconds = 5", "seconds = 2")), known)
    assert slow.verdict != "larger"
    assert {o.option: o.why for o in slow.options}["larger"] == "4 s of at most 2 s"


def test_8_hundreds_a_day_that_may_leave_go_elsewhere() -> None:
    load = "requests_day = 300\ntokens_in = 800\ntokens_out = 100"
    known = facts(measured("baseline", 0.6), measured("tuned", 0.93))
    found = said(asked(MACHINE, PEOPLE, CLOUD, LEAVES, load=load), known)
    assert found.verdict == "cloud" and "no_fine_tuning" in found.donts
    assert cost(found, "cloud") == 27.00  # 9,000 x 0.003
    stays = {flip.name: flip for flip in found.flips}["regulation.data_may_leave"]
    assert (stays.now, stays.then, stays.verdict) == (True, False, "tuned")
    # It takes 340.64 / 0.0029983333 / 30 = 3,787 requests a day until the tuned model pays.
    volume = {flip.name: flip for flip in found.flips}["load.requests_day"]
    assert volume.verdict == "tuned" and volume.then == pytest.approx(3787.0, abs=1)


def test_9_twelve_groups_are_missing() -> None:
    known = facts(measured("baseline", 0.99, half=0.001, groups=38), groups=38)
    found = said(asked(MACHINE), known)
    assert (found.verdict, found.more) == ("not_enough_data", 12)
    assert found.answer.startswith("Not enough data: 12 more independent groups.")


def test_10_so_many_groups_show_it() -> None:
    known = facts(measured("baseline", 0.88, half=0.045, groups=200), groups=200)
    found = said(asked(MACHINE), known)
    # (1.644854 + 0.841621)² x 0.88 x 0.12 / 0.03² = 725.42: 726 groups, 200 of them are there.
    assert (found.verdict, found.more) == ("not_enough_data", 526)


def test_11_six_hundred_examples_are_missing_then_tuning_is_tried() -> None:
    low = (measured("baseline", 0.70), measured("prompt", 0.60))
    found = said(asked(MACHINE), facts(*low, examples=400))
    assert (found.verdict, found.more) == ("not_enough_data", 600)
    assert said(asked(MACHINE), facts(*low, examples=1_000)).verdict == "try_tuning"
    few = "[thresholds]\nexamples_try = 300\n"
    assert said(asked(MACHINE, few), facts(*low, examples=400)).verdict == "try_tuning"


def test_12_nothing_reaches_it_so_leave_it_to_people() -> None:
    known = facts(measured("baseline", 0.70), measured("prompt", 0.60), measured("tuned", 0.75))
    found = said(asked(MACHINE), known)
    assert found.verdict == "people"
    assert found.donts == ("no_language_model", "no_fine_tuning") and found.chosen is None


def test_13_a_certificate_has_its_price() -> None:
    known = facts(measured("tuned", 0.98, half=0.01))
    bound = "[regulation]\nbound = 0.05\n"
    found = said(asked(MACHINE, PEOPLE, bound), known)
    (tuned,) = [option for option in found.options if option.option == "tuned"]
    assert tuned.certify == 234  # groups: 2 % wrong, bound 5 %, delta 5 %, power 0.8
    # (300 + 234) x 1.50 / 12 = 66.75.
    assert cost(found, "tuned") == 369.91 == round(FIXED + 0.02 + 66.75, 2)
    never = said(asked(MACHINE, PEOPLE, bound), facts(measured("tuned", 0.94, half=0.01)))
    assert never.verdict == "people"


def test_14_wrong_answers_and_a_model_on_another_host_cost_what_is_said() -> None:
    domain = "quality = 0.85\nwrong_answer = 0.50"
    known = facts(measured("prompt", 0.90), measured("upstream", 0.95))
    found = said(asked(MACHINE, domain=domain), known)
    assert found.verdict == "upstream"
    # 12,000 x 0.10 x 0.50 = 600.00 and 12,000 x 0.05 x 0.50 = 300.00.
    assert cost(found, "prompt") == 903.16 == round(FIXED + 0.02 + 600, 2)
    assert cost(found, "upstream") == 603.16 == round(FIXED + 0.02 + 300, 2)


HERE = CertifiedRoute("orders", "c" * 64, "", 0.75, 0.04, 400, "people")


def test_15_a_certified_cascade_rests_on_its_certificate() -> None:
    small = measured("own", 0.80)
    known = facts(measured("prompt", 0.70), cascade(HERE, small, None))
    extra = MACHINE.replace("[costs]", "[costs]\ndefer_minutes = 0.5")
    agree = PEOPLE + "agreement = 0.81\n"
    found = said(asked(extra, agree, "[regulation]\nbound = 0.05\n"), known)
    assert found.verdict == "cascade" and found.chosen is not None
    # Right: 0.75 x 0.96 by its certificate, and 0.25 x 0.81, as often as people agree.
    assert found.chosen.quality is not None
    assert found.chosen.quality.low == pytest.approx(0.75 * 0.96 + 0.25 * 0.81)
    # A quarter of 12,000 x half a minute is 25 h x 45 = 1,125.00. At each retraining 300 items and
    # the 400 groups of the certificate are labelled: 700 x 1.50 / 12 = 87.50.
    assert cost(found, "cascade") == 1515.66 == round(FIXED + 0.02 + 87.50 + 1125.00, 2)
    assert any("answers 75 % with at most 4 % errors" in note for note in found.notes)
    stricter = said(asked(extra, agree, "[regulation]\nbound = 0.03\n"), known)
    assert stricter.verdict != "cascade"


def test_15_people_are_not_assumed_to_be_always_right() -> None:
    """Their agreement is asked for, or taken from the labels; without it there is no quality."""
    known = facts(measured("prompt", 0.70), cascade(HERE, measured("own", 0.80), None))
    extra = MACHINE.replace("[costs]", "[costs]\ndefer_minutes = 0.5")
    unknown = said(asked(extra, PEOPLE), known)
    (row,) = [each for each in unknown.options if each.option == "cascade"]
    assert (row.state, row.quality, row.missing) == ("unmeasured", None, ("data.agreement",))
    by_labels = said(asked(extra, PEOPLE), replace(known, agreement=0.81))
    assert by_labels.verdict == "cascade"
    assert by_labels.chosen is not None and by_labels.chosen.quality is not None
    assert by_labels.chosen.quality.value == pytest.approx(0.9225)
    poor = said(asked(extra, PEOPLE), replace(known, agreement=0.5))  # 0.72 + 0.125
    assert poor.verdict != "cascade"
    nothing = said(asked(MACHINE), replace(facts(measured("tuned", 0.7)), agreement=0.81))
    assert nothing.verdict == "people" and "People agree in 81 %" in nothing.answer


def test_the_best_of_many_is_judged_by_limits_that_hold_for_all() -> None:
    one = measured("prompt", 0.89)  # 0.86 to 0.92 by itself
    assert said(asked(MACHINE), facts(one)).verdict == "prompt"
    many = said(asked(MACHINE), replace(facts(one), tried=50))
    (row,) = [each for each in many.options if each.option == "prompt"]
    assert row.state == "open" and row.quality is not None and row.quality.low < 0.85
    assert row.quality.confidence == pytest.approx(1 - 2 * 0.05 / 50)
    sealed = Quality(0.89, 0.86, 0.92, 400, sealed=True)  # it chose nothing
    known = replace(facts(replace(one, quality=sealed)), tried=50)
    assert said(asked(MACHINE), known).verdict == "prompt"


def test_16_a_cascade_whose_rest_a_larger_model_answers_takes_no_people() -> None:
    found = replace(HERE, larger="large", rest="larger", low=-0.02)
    made = cascade(found, measured("own", 0.80), measured("own", 0.95, speed=0.5))
    # At least 0.95 - 0.03 - 0.02; a document takes 1/2 s and in a quarter of cases 2 s more.
    assert made.quality is not None and made.quality.low == pytest.approx(0.90)
    assert made.documents_s == 1.0 and made.seconds == 1.0
    told = said(asked(MACHINE, PEOPLE), facts(made))
    # 12,000 / 3,600 = 3.33333 h x 40 W = 0.13333 kWh x 0.30 = 0.04.
    assert told.verdict == "cascade" and cost(told, "cascade") == 390.68
    assert round(FIXED + 0.04 + 87.50, 2) == 390.68
    unknown = cascade(found, measured("own", 0.80), None)
    # Where the larger one was not measured, only what the first stage answers counts: 0.75 x 0.96.
    assert unknown.quality is not None and unknown.quality.low == pytest.approx(0.72)
    assert (unknown.documents_s, unknown.seconds) == (None, None)


def test_17_joules_that_the_host_tells_stand_in_for_watts_that_were_not_answered() -> None:
    known = facts(replace(measured("prompt", 0.90), joules=18.0))
    quiet = MACHINE.replace("watts_busy = 100", "")
    # 12,000 x 18 J = 216,000 J = 0.06 kWh x 0.30 = 0.018: 303.158.
    assert cost(said(asked(quiet), known), "prompt") == 303.16 == round(FIXED + 0.018, 2)
    dear = quiet.replace("kwh = 0.30", "kwh = 30")
    # Idle 43.8 kWh x 30 = 1,314.00; 0.06 kWh x 30 = 1.80.
    assert cost(said(asked(dear), known), "prompt") == 1605.80 == 50 + 240 + 1314 + 1.80
    unknown = said(asked(dear), facts(measured("prompt", 0.90)))
    assert cost(unknown, "prompt") == 1604.00
    assert any("not reported by this host" in note for note in unknown.notes)
    assert any("18 J" in note for note in said(asked(quiet), known).notes)


@pytest.mark.parametrize(
    ("as_of", "source", "blocked"),
    [
        ("2026-08-29", "list", False), ("2026-08-28", "list", True), ("2026-12-01", "list", True),
        ("2026-11-01", "", True),
    ],
)  # fmt: skip
def test_an_old_price_or_one_without_a_source_decides_nothing(
    as_of: str, source: str, blocked: bool
) -> None:
    price = CLOUD.replace("2026-11-01", as_of).replace("price list of the provider", source)
    known = facts(measured("tuned", 0.92))
    found = said(asked(MACHINE, price, LEAVES, load=LOADED), known)
    assert (found.verdict == "blocked") is blocked
    assert not blocked or (found.options == () and "No verdict" in found.answer)
    # A price that cannot be used does not block what stays here.
    assert said(asked(MACHINE, price, load=LOADED), known).verdict == "tuned"


def test_what_is_not_known_is_missing_and_never_guessed() -> None:
    known = facts(measured("baseline", 0.92, speed=None), measured("prompt", 0.95))
    found = said(without_machine(asked(MACHINE)), known)
    rows = {row["name"]: row for row in document(found).document["options"]}
    assert rows["baseline"]["cost_month"] is None
    assert set(rows["baseline"]["missing"]) == {"costs.machine", "speed"}
    assert rows["retrieval"]["missing"][0] == "quality" and rows["retrieval"]["quality"] is None
    assert found.verdict == "baseline" and "what it costs is not known" in found.answer


def test_a_quality_on_few_groups_decides_nothing() -> None:
    few = said(asked(MACHINE), facts(measured("prompt", 0.95, groups=30)))
    assert few.verdict != "prompt"
    assert said(asked(MACHINE), facts(measured("prompt", 0.95, groups=50))).verdict == "prompt"


def test_more_groups_show_what_made_no_error_so_far() -> None:
    perfect = replace(measured("prompt", 1.0), quality=Quality(1.0, 0.99, 1.0, 400))
    found = said(asked(MACHINE, domain="quality = 0.999"), facts(perfect))
    # 2,995 groups without an error bound its rate by 0.1 % at 5 %.
    assert (found.verdict, found.more) == ("not_enough_data", 2_995 - 400)


def test_one_option_without_a_speed_hides_no_cost() -> None:
    known = facts(measured("baseline", 0.92, speed=800), measured("prompt", 0.95, speed=None))
    found = said(asked(MACHINE, PEOPLE), known)
    assert found.verdict == "baseline"
    assert "EUR a month" in found.answer and "not known: the prompt" in found.answer


def test_examples_that_nobody_counted_are_asked_for() -> None:
    found = said(asked(MACHINE), facts(measured("prompt", 0.5), examples=None))
    assert found.verdict == "not_enough_data" and "data.examples" in found.answer


def test_costs_that_overlap_are_not_told_apart() -> None:
    load = "requests_day = [50, 300, 6000]\ntokens_in = 800\ntokens_out = 100"
    known = facts(measured("tuned", 0.93))
    found = said(asked(MACHINE, CLOUD, LEAVES, load=load), known)
    assert found.verdict == "cloud" and not found.told_apart
    assert any("cannot be distinguished" in note for note in found.notes)
    assert found.tornado[0].name == "load.requests_day"
    assert (found.tornado[0].at_low, found.tornado[0].at_high) == pytest.approx((4.5, 540.0))


def test_notes_on_the_learning_curve_and_on_labels_that_disagree() -> None:
    known = replace(
        facts(measured("baseline", 0.92, speed=800)),
        curve=((300, 0.62), (1_000, 0.70), (2_000, 0.75)), agreement=0.81,
    )  # fmt: skip
    notes = " ".join(said(asked(MACHINE), known).notes)
    assert "twice as many examples bring +5.0 points" in notes and "is worth" in notes
    assert "People agree with each other on 81 %" in notes


def test_memory_that_is_not_there_excludes_and_the_sealed_word_is_plain_json() -> None:
    big = OptionMeasured("larger", "big", Quality(0.95, 0.93, 0.97, 400), 1.0, 1.0, memory=64 << 30)
    known = replace(facts(big), host_memory=8 << 30)
    found = said(asked(MACHINE), known)
    assert {o.option: o.why for o in found.options}["larger"].startswith("it does not fit")
    shown = document(found).document
    assert {"verdict", "options", "flips_if"} <= set(shown)
    assert {"name", "quality", "cost_month", "seconds_p95", "missing"} <= set(shown["options"][0])
