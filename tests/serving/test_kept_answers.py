"""Answers that are kept: encrypted, of one key, for a while, and gone when they were erased."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import AuditRefused, Overloaded, StateRefused
from appliance.serving import kept_answers
from appliance.serving.kept_answers import KeptAnswer, KeptAnswers
from appliance.types import Principal

SAID = b"the relief valve opens at 12 bar"
ANSWER = KeptAnswer(("req-1", "req-2"), "asked", SAID)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def kept(tmp_path: Path, clock: FixedClock) -> Iterator[KeptAnswers]:
    database = open_database(tmp_path / "a.db", [kept_answers.TABLES], erases=True)
    yield KeptAnswers(database, clock, lambda: b"k" * 32, lambda purpose: purpose, "encrypted")
    database.dispose()


def test_an_answer_comes_back_until_its_time_is_over(kept: KeptAnswers, clock: FixedClock) -> None:
    kept.keep("p", "key", ANSWER, 60)
    assert kept.find("p") == ANSWER and kept.find("q") is None
    clock.advance(59)
    assert kept.find("p") == ANSWER
    clock.advance(1)
    assert kept.find("p") is None
    clock.advance(-50)
    assert kept.find("p") is None  # it is gone


def test_no_file_holds_what_was_said_and_the_control_finds_it(
    kept: KeptAnswers, tmp_path: Path
) -> None:
    kept.keep("p", "key", ANSWER, 60)
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SAID not in files and b"req-2" in files


def test_an_answer_opens_at_its_own_place_alone(kept: KeptAnswers) -> None:
    kept.keep("p", "key", ANSWER, 60)
    rows = sa.table("kept_answers", sa.column("place"))
    with kept.database.begin() as connection:
        connection.execute(sa.update(rows).values(place="q"))
    with pytest.raises(AuditRefused) as caught:
        kept.find("q")
    assert caught.value.code == "content_unavailable"


def test_erasing_leaves_the_place_and_nothing_of_the_answer(
    kept: KeptAnswers, clock: FixedClock
) -> None:
    kept.keep("p", "key", ANSWER, 60)
    kept.keep("other", "key", KeptAnswer(("req-9",), "x", b"y"), 60)
    assert kept.holds({"req-2"}) == {"": 1} and kept.holds({"req-3"}) == {}
    kept.erase({"req-2"})
    with pytest.raises(StateRefused) as caught:
        kept.find("p")
    assert caught.value.code == "erased" and kept.holds({"req-1"}) == {}
    assert kept.find("other") is not None
    kept.erase({"req-2"})  # again: nothing happens
    clock.advance(60)
    assert kept.find("p") is None


def test_an_answer_of_a_request_that_was_erased_while_it_ran_is_not_kept(
    kept: KeptAnswers,
) -> None:
    kept.erase({"req-2"})
    kept.keep("p", "key", ANSWER, 60)
    with pytest.raises(StateRefused, match="erased"):
        kept.find("p")
    kept.keep("other", "key", KeptAnswer(("req-1",), "x", b"y"), 60)
    assert kept.find("other") is not None  # the control


def test_a_key_has_so_many_and_no_more(kept: KeptAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "MOST_OF_A_KEY", 2)
    for place in ("p", "q"):
        kept.check_room("key")
        kept.keep(place, "key", ANSWER, 60)
    with pytest.raises(Overloaded):
        kept.check_room("key")
    kept.check_room("another")


def test_digests_tell_parts_apart_and_need_the_secret(kept: KeptAnswers) -> None:
    assert kept.digest(b"ab", b"c") != kept.digest(b"a", b"bc")
    assert kept.digest(b"ab") == kept.digest(b"ab")


def test_texts_that_the_log_does_not_keep_are_not_kept(kept: KeptAnswers) -> None:
    assert kept.keeps(Principal("k", "app"))
    assert not kept.keeps(Principal("k", "app", content="off"))
