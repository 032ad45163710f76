"""Outcome lines: read as they were written, and nothing else is read."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import EvaluationRefused
from appliance.evals.outcomes import Outcome, check_complete, digest, parse, ranked
from tests.evals.example import outcomes

ONE = outcomes(1)[0]
FAILED = replace(ONE, answer=None, micros=0, failure="timeout", confidence_micros=None)


@given(
    st.builds(
        Outcome,
        item=st.text(min_size=1),
        group=st.text(),
        expected=st.text(),
        answer=st.text(),
        micros=st.integers(0, 1_000_000),
        microseconds=st.integers(0, 10**12),
    )
)
def test_a_line_reads_as_it_was_written(outcome: Outcome) -> None:
    try:
        line = outcome.line()
    except UnicodeEncodeError:
        return  # half a surrogate is no text
    assert parse(line) == outcome


def test_a_failure_has_no_answer_and_scores_nothing() -> None:
    assert parse(FAILED.line()).score == 0


@pytest.mark.parametrize(
    "change",
    [
        {"micros": 1_000_001},
        {"micros": -1},
        {"micros": 0.5},
        {"micros": True},
        {"microseconds": "5"},
        {"answer": 5},
        {"answer": None},
        {"failure": "timeout"},
        {"confidence_micros": 2_000_000},
        {"group": None},
        {"extra": 1},
        {"cited": -1},
        {"cited_right": 1.0},
        {"cited_removed": True},
        {"ranked": "engine"},
        {"ranked": [["engine", 2_000_000]]},
        {"ranked": [["engine"]]},
    ],
)
def test_other_lines_are_refused(change: dict[str, Any]) -> None:
    line = json.dumps({**asdict(ONE), **change}).encode()
    with pytest.raises(EvaluationRefused) as caught:
        parse(line)
    assert caught.value.code == "outcomes_invalid"


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b"5", b'{"item": "a", "item": "b"}', b"\xff"])
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(EvaluationRefused):
        parse(line)


def test_a_line_has_citations_only_where_answers_cite() -> None:
    """So older outcomes keep their digests."""
    assert b"cited" not in ONE.line() and b'"confidence_micros":null' in FAILED.line()
    cited = replace(ONE, cited=2, cited_removed=0)
    assert b'"cited":2,"cited_removed":0,' in cited.line() and parse(cited.line()) == cited


def test_a_line_has_the_likeliest_labels_only_where_they_are_told() -> None:
    shares = [(f"l{n}", share) for n, share in enumerate([0.1, 0.5, *[0.4 / 12] * 12])]
    found = replace(ONE, ranked=ranked(shares))
    assert found.ranked is not None and len(found.ranked) == len(shares)
    assert found.ranked[:3] == (("l1", 500_000), ("l0", 100_000), ("l2", 33_333))
    assert b"ranked" not in ONE.line() and parse(found.line()) == found
    assert found.without_texts().ranked is None  # labels are texts


def test_a_failure_that_scores_is_refused() -> None:
    with pytest.raises(EvaluationRefused):
        parse(replace(FAILED, micros=1).line())


def test_the_digest_knows_every_outcome_and_no_order() -> None:
    some = outcomes(5)
    assert digest(some) == digest(reversed(some))
    assert digest(some) != digest([*some[:-1], replace(some[-1], microseconds=1)])


@pytest.mark.parametrize("items", [["i000"], ["i000", "i000"], ["i000", "i001", "i002"], []])
def test_every_item_has_exactly_one_outcome(items: list[str]) -> None:
    some = outcomes(1)[:2]
    check_complete(some, ["i001", "i000"])
    with pytest.raises(EvaluationRefused) as caught:
        check_complete(some, items)
    assert caught.value.code == "outcomes_incomplete"
