"""Weeks as rows of numbers: counts, without texts."""

import msgspec
import numpy as np
import pytest

from appliance.advisor.blocks import (
    FEWEST,
    NAMES,
    Profile,
    WeekBlock,
    WeekObserved,
    block,
    named,
    profile,
    table,
    week_of,
)
from tests.advisor.weeks import week

FIRST = [WeekObserved(0, text=f"hose leaks {n % 3}", answer="hydraulics") for n in range(FEWEST)]


def test_shares_and_means_of_a_week() -> None:
    seen = [
        WeekObserved(
            0, failed=n < 5, cut=n < 10, deferred=n < 2, prompt_tokens=10, answer_tokens=0,
            confidence=0.95 if n < 15 else 0.4, missed=n < 4, overridden=n < 1,
        )
        for n in range(20)
    ]  # fmt: skip
    found = block(3, seen, profile(0, FIRST))
    assert found is not None and (found.week, found.requests) == (3, 20)
    assert found.values == {
        "failures": 0.25, "cut": 0.5, "deferred": 0.1, "prompt": pytest.approx(np.log(11)),
        "answer": 0.0, "misses": 0.2, "overrides": 0.05,
        "confidence": pytest.approx(0.8125), "sure": 0.75, "unsure": 0.25,
    }  # fmt: skip


def test_words_texts_and_answers_are_compared_with_the_first_week() -> None:
    known = profile(0, FIRST)
    same = block(1, FIRST, known)
    other = [WeekObserved(0, text="pump broken", answer="engine") for _ in range(FEWEST)]
    changed = block(2, other, known)
    assert same is not None and changed is not None
    assert same.values["unknown"] == 0 and same.values["middle"] == pytest.approx(0)
    assert changed.values["unknown"] == 1 and changed.values["middle"] > 0.5
    assert (same.values["label 0"], changed.values["label 0"]) == (1, 0)


def test_one_long_text_does_not_decide_the_words_of_a_week() -> None:
    """Counted by word, one long known text made a plain week odd: a share of new words below .1
    where every other week has .6.
    """
    long = WeekObserved(0, text=" ".join(f"standard{n}" for n in range(400)), answer="engine")
    first = [*FIRST, long]
    known = profile(0, first)

    def words(number: int) -> list[WeekObserved]:
        return [
            WeekObserved(0, text=f"hose leaks a{number}{n} b{number}{n} c{number}{n}", answer="cab")
            for n in range(FEWEST)
        ]

    plain, odd = block(1, words(1), known), block(2, [*words(2), long], known)
    assert plain is not None and odd is not None
    assert plain.values["unknown"] == pytest.approx(0.6)
    assert odd.values["unknown"] == pytest.approx(0.6 * FEWEST / (FEWEST + 1))
    by_word = 3 * FEWEST / (5 * FEWEST + 400)  # the control
    assert by_word < 0.13


def test_a_week_with_few_requests_is_no_block_and_few_texts_say_nothing() -> None:
    known = profile(0, FIRST)
    assert block(1, FIRST[:-1], known) is None
    half = [*FIRST[: FEWEST - 1], WeekObserved(0)]
    found = block(1, half, known)
    assert found is not None and "unknown" not in found.values and "label 0" not in found.values


def test_documents_say_the_same_and_hold_no_text() -> None:
    seen, _ = week(np.random.default_rng(1), 0, 0.0)
    known = profile(0, seen)
    text = msgspec.json.encode(known).decode()
    assert msgspec.json.decode(text, type=Profile) == known and len(text) < 20_000
    assert "word" not in text.replace('"words"', "").replace("unknown", "") and "engine" not in text
    found = block(1, seen, known)
    assert msgspec.json.decode(msgspec.json.encode(found), type=WeekBlock) == found
    for words in ("eJwDAAAAAAE=", "AAAA"):
        with pytest.raises(msgspec.ValidationError, match="words"):
            msgspec.convert({**msgspec.to_builtins(known), "words": words}, Profile)


def test_only_what_every_week_has_is_compared() -> None:
    names, values = table([WeekBlock(1, 20, {"a": 1, "b": 2}), WeekBlock(2, 20, {"b": 3})])
    assert names == ("b",) and values.tolist() == [[2], [3]]
    assert table([WeekBlock(1, 20, {"a": 1}), WeekBlock(2, 20, {})])[1].shape == (2, 0)


def test_names_and_weeks() -> None:
    assert named("words") == NAMES["words"] and "number 2" in named("label 1")
    assert week_of(7 * 86_400_000_000) == 1 and week_of(7 * 86_400_000_000 - 1) == 0
