"""The audit screens' words."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.models import AuditHead, Verification
from tests.tui.scripted import entry
from tui.view import audit as view


def test_a_row_and_its_summary() -> None:
    made = entry(7, "model", actor="uid:0", model="pump", event="state", state="verified", code="")
    assert len(view.row(made)) == len(view.COLUMNS)
    assert view.summary(made.body) == "actor=uid:0 model=pump event=state state=verified"


def test_an_entry_is_shown_whole_with_its_hashes_and_texts() -> None:
    made = entry(7, "intent", model="pump", tokens=[1, 2]).model_copy(
        update={"content": {"prompt": "line one\nline two\x1b[2J"}}
    )
    said = "\n".join(row.plain for row in view.detail(made, 76))
    for words in ("7  intent", "ab" * 32, "cd" * 32, "[1, 2]", "line one\n", "\\x1b[2J"):
        assert words in said, words
    assert "\x1b" not in said
    long = made.model_copy(update={"content": {"prompt": "x" * 9_000}})
    assert "5 000 more characters" in "\n".join(row.plain for row in view.detail(long, 76))


def test_texts_are_offered_only_where_they_were_kept() -> None:
    assert not view.has_texts(entry(1))
    assert not view.has_texts(entry(1, content={"mode": "off"}))
    assert view.has_texts(entry(1, content={"mode": "encrypted", "parts": {"prompt": {}}}))


def test_a_search_is_typed_as_conditions() -> None:
    made = view.query("kind=model model=pump key=k request=r since=2026-01-01 code=stop", 50)
    assert (made.kind, made.model, made.key_id, made.request_id) == ("model", "pump", "k", "r")
    assert (made.since, made.code, made.order, made.limit) == ("2026-01-01", "stop", "newest", 50)
    assert view.query("41", 9).before == 42
    assert view.query("intent", 9).kind == "intent"
    assert view.query("", 9).kind is None


@pytest.mark.parametrize("text", ["colour=red", "kind=" + "x" * 99, "99999999999999999999"])
def test_a_search_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        view.query(text, 9)


def test_the_place_in_the_log() -> None:
    said = view.place("", 2, [entry(9), entry(8)], 1_000, more=False).plain
    for words in ("all entries", "1 000 in the log", "8 to 9", "page 2, the last"):
        assert words in said, words


def test_answers_that_were_computed_again() -> None:
    head = AuditHead(entries=9, root="ab")
    assert view.replays(head) == []
    (said,) = view.replays(head.model_copy(update={"replayed": 1_020, "replayed_same": 1_020}))
    assert said.plain == "+ ok  computed again:  1 020 of 1 020 answers the same"
    update = {"replayed": 20, "replayed_same": 19, "difference": 7}
    (said,) = view.replays(head.model_copy(update=update))
    assert said.plain.startswith("! failed") and said.plain.endswith("entry 7 is not")


def test_a_search_that_found_nothing_yet_says_how_to_go_on() -> None:
    assert "] looks further back" in view.place("app=x", 1, [], 1_000_000, more=True).plain
    assert "looks further" not in view.place("app=x", 1, [], 1_000_000, more=False).plain


def test_a_verification_names_every_problem() -> None:
    found = Verification.model_validate(
        {"ok": False, "entries": 9, "from": 0, "to": 8, "root": "ab" * 32, "open_intents": 1,
         "problems": [{"seq": 4, "code": "audit_corrupt", "message": "bad"},
                      {"seq": None, "code": "proof_invalid", "message": "worse"}],
         "problem_count": 3, "unwitnessed": 2}
    )  # fmt: skip
    said = "\n".join(row.plain for row in view.verification(found, 76))
    for words in ("! failed", "! entry 4  audit_corrupt", "! the log", "and 1 more", "evidence"):
        assert words in said, words
