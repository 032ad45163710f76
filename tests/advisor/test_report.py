"""The advisor's page for a director, without markup from data."""

from dataclasses import replace

from appliance.advisor.options import RequestTimes
from appliance.advisor.report import VERDICTS, WORDS, page, words
from appliance.advisor.verdict import NAMES, advise
from appliance.reports.page import ReportTable, render
from tests.advisor.scenarios import CLOUD, LEAVES, MACHINE, PEOPLE, TODAY, asked, facts, measured

WHEN = "2026-11-27T21:00:00Z"
LOAD = "requests_day = [2000, 6000, 9000]\ntokens_in = 800\ntokens_out = 100"
KNOWN = facts(measured("baseline", 0.70, speed=800), measured("tuned", 0.93))


def test_the_first_screen_has_the_answer_its_cost_and_the_utilisation() -> None:
    questions = asked(MACHINE, PEOPLE, CLOUD, LEAVES, load=LOAD)
    advice = advise(questions, KNOWN, TODAY)
    made = page(advice, questions, KNOWN, WHEN)
    assert made.answer == advice.answer and made.tone == "good"
    named = {fact.name: fact.value for fact in made.facts}
    assert set(named) == {
        "a month", "right answers", "requests a day", "utilisation", "break-even",
    }  # fmt: skip
    assert named["a month"] == "341 EUR" and named["right answers"] == "93 %"
    assert made.figure is not None and "<svg" in made.figure.drawing
    titles = [section.title for section in made.sections]
    assert titles == [
        "Beside the answer", "Options", "Changes that flip the answer",
        "Where the cost comes from", "Your answers", "Rules of thumb",
    ]  # fmt: skip
    (options,) = made.sections[1].parts
    assert isinstance(options, ReportTable) and len(options.rows) == 8
    assert [row[0] for row in options.rows if row[0].startswith("→")] == ["→ tuned small model"]
    assert ("price of cloud", "2026-11-01, price list of the provider") in made.made_of
    assert "load.requests_day" not in render(made)  # a person reads words


def test_without_a_verdict_the_page_says_what_is_missing() -> None:
    few = replace(KNOWN, groups=38)
    questions = asked(MACHINE)
    made = page(advise(questions, few, TODAY), questions, few, WHEN)
    assert made.tone == "muted" and {f.name: f.value for f in made.facts}["missing"] == "12"
    old = asked(MACHINE, LEAVES, CLOUD.replace("2026", "2025"))
    blocked = page(advise(old, KNOWN, TODAY), old, KNOWN, WHEN)
    assert blocked.figure is None and "days old" in render(blocked)


def test_the_log_is_the_source_where_nothing_was_answered() -> None:
    known = replace(KNOWN, arrivals=RequestTimes(1_200, 4.0, 90, 3, 0.03))
    questions = asked(MACHINE, load="")
    html = render(page(advise(questions, known, TODAY), questions, known, WHEN))
    assert "from the log, 4 days" in html and "1,200 answers" in html and "3 % of the time" in html


def test_text_of_a_person_is_no_markup() -> None:
    price = CLOUD.replace('"cloud"', '"<b>x</b>"').replace("price list", "<script>")
    questions = asked(MACHINE, price, LEAVES, load=LOAD)
    html = render(page(advise(questions, KNOWN, TODAY), questions, KNOWN, WHEN))
    assert "<script>" not in html and "<b>x</b>" not in html and "&lt;b&gt;x" in html


def test_every_answer_and_verdict_has_its_words() -> None:
    assert set(asked().ranges) <= set(WORDS)
    assert words("prices.cloud.million_in") == "cloud: price of a million tokens read"
    assert words("other") == "other" and set(NAMES) < set(VERDICTS)
