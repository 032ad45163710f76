"""The keys screen's words."""

from appliance.wire.admin.keys import NewKey
from tests.tui.scripted import key
from tui.text import line
from tui.view import keys as view

NOW = "2026-11-18T12:00:00Z"


def test_an_expired_key_is_not_valid() -> None:
    expired = key("a", expires="2026-11-18T11:00:00Z", state="expired")
    told = [line(*view.row(expired, 1, ascii_only=True)).plain]
    told += [row.plain for row in view.detail(expired, (0, 0), 80, ascii_only=True)]
    assert all("valid" not in said for said in told)
    assert "! expired" in told[0] and "! expired" in told[1]


def test_a_row_shows_what_was_used_as_a_bar() -> None:
    used = key("a", usage={"requests": 3, "prompt_tokens": 60, "completion_tokens": 40})
    made = view.row(used, 200, ascii_only=True)
    assert len(made) == len(view.COLUMNS)
    assert "######......" in line(*made).plain and "no limit" in line(*made).plain


def test_the_details_show_the_quota_of_the_minute() -> None:
    limited = key("a", limits={"rpm": 10, "tpm": None}, models=["pump"], rotated_until=NOW)
    said = "\n".join(r.plain for r in view.detail(limited, (5, 70), 80, ascii_only=True))
    for words in ("############............  5 of 10", "70, no limit", "pump", "good until"):
        assert words in said, words


def test_a_secret_is_shown_once_and_says_so() -> None:
    made = NewKey(**key("a").model_dump(), secret="sk-1")
    said = "\n".join(row.plain for row in view.secret(made))
    assert "sk-1" in said and "Shown once" in said
    told = [row.plain for row in view.secret(made, "http://127.0.0.1:8181")]
    assert "base URL http://127.0.0.1:8181/v1" in told
