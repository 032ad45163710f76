"""The import wizard's words."""

import pytest

from appliance.wire.admin.models import Approval, ModelDetail
from appliance.wire.admin.plan import ImportPlan
from tests.tui.staging import PLACES, PLAN
from tui.text import line
from tui.view import media as view


def said(rows: list[object]) -> str:
    return "\n".join(row.plain for row in rows)  # type: ignore[attr-defined]


def test_artifacts_and_places_are_read_from_the_command() -> None:
    first, second = view.found(PLACES)
    assert (first.name, first.signed, second.signed) == ("triage-notes-v3", True, False)
    assert len(view.row(first)) == len(view.COLUMNS)
    assert "! none" in line(*view.row(second)).plain
    assert "exfat" in said(view.places(PLACES))  # type: ignore[arg-type]
    assert "Plug one in" in said(view.places({}))  # type: ignore[arg-type]


def test_the_step_in_hand_is_in_brackets() -> None:
    assert view.steps("approve", 76, "(1 of 2)").plain == (
        "+ 1 choose > + 2 check > + 3 import > [4 approve (1 of 2)] > 5 load > 6 done"
    )


def test_where_there_is_little_room_only_the_step_in_hand_has_a_name() -> None:
    assert view.steps("load", 56).plain == "+ 1 > + 2 > + 3 > + 4 > [5 load] > 6"


def test_a_plan_says_signer_memory_people_differences_and_what_comes_next() -> None:
    shown = said(view.plan(ImportPlan.model_validate(PLAN), 76))  # type: ignore[arg-type]
    for words in (
        "Model Team",
        "2.4 GiB of 25.6 GiB",
        "2 different people",
        "context, tokens",
        "Next: a i",
    ):
        assert words in shown, words
    assert "1.2 GiB" in shown and "32 768" in shown and "1288490188" not in shown
    crowded = ImportPlan.model_validate({**PLAN, "fits": False, "against": None})
    shown = said(view.plan(crowded, 76))  # type: ignore[arg-type]
    assert "does not fit now" in shown and "no model of the store is like it" in shown


def test_a_refused_artifact_says_why_and_offers_no_import() -> None:
    refused = ImportPlan(
        path="/p", id="p", ok=False, code="file_changed", message="bad", hint="Copy."
    )
    shown = said(view.plan(refused, 76))  # type: ignore[arg-type]
    assert "! refused  file_changed" in shown and "Copy." in shown and "I imports" not in shown


@pytest.mark.parametrize(
    ("state", "live", "words"),
    [
        ("verified", True, "a a approves (1 of 2"), ("approved", True, "a l loads it"),
        ("approved", False, "when the server starts"), ("serving", True, "5, then a n"),
        ("retired", True, "Esc chooses"),
    ],
)  # fmt: skip
def test_each_state_says_what_comes_next(state: str, live: bool, words: str) -> None:
    model = ModelDetail(
        id="m", state=state, digest="ab" * 32,
        approvals=[Approval(name="A", meaning="ok", time="2026-11-18T12:00:00Z")],
    )  # fmt: skip
    assert words in said(view.progress(model, 2, 76, live=live))  # type: ignore[arg-type]


def test_a_refused_import_says_why() -> None:
    model = ModelDetail(id="m", state="refused", digest=None, code="gguf_split", message="Split.")
    assert "gguf_split: Split." in said(view.progress(model, 2, 76, live=True))  # type: ignore[arg-type]
