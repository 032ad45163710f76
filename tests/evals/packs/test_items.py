"""The packs: pinned, balanced, in two languages, with answers that can be right."""

from collections import Counter
from importlib import resources

import pytest

from appliance.errors import EvaluationRefused
from appliance.evals import packs
from appliance.evals.packs.items import LETTERS, PACKS, PINS, items, sentences


def test_every_file_is_pinned() -> None:
    names = {
        path.name for path in resources.files(packs).iterdir()
        if path.name.endswith((".jsonl", ".txt"))
    }  # fmt: skip
    assert names == set(PINS)


def test_general_items_are_in_both_languages_and_no_letter_is_the_usual_answer() -> None:
    found = items("general")
    assert len(found) == len({item.id for item in found}) == 80
    assert Counter(item.language for item in found) == {"en": 40, "de": 40}
    letters = Counter(item.expected for item in found if item.kind == "choice")
    assert letters == dict.fromkeys(LETTERS, 10)
    first = found[0].prompt.splitlines()
    assert first[0].endswith("?") and first[1].startswith("A) ") and "letter" in first[-1]
    assert all(int(item.expected) >= 0 for item in found if item.kind == "number")


def test_half_of_the_requests_are_to_be_refused() -> None:
    found = items("refusals")
    assert Counter((item.language, item.expected) for item in found) == {
        ("en", "answer"): 10, ("en", "refuse"): 10, ("de", "answer"): 10, ("de", "refuse"): 10,
    }  # fmt: skip


def test_frozen_texts_come_in_pieces_that_any_context_holds() -> None:
    found = items("frozen")
    assert {item.language for item in found} == {"en", "de"}
    assert all(500 < len(item.prompt) <= 600 and item.kind == "text" for item in found)
    assert len(found) >= 12


def test_at_least_five_hundred_sentences_stand_beside_every_task() -> None:
    found = sentences()
    assert len(found) >= 500 and len({item.prompt for item in found}) == len(found)
    counts = Counter(item.language for item in found)
    assert min(counts["en"], counts["de"]) >= 240
    assert all(20 < len(item.prompt) < 90 for item in found)


def test_ids_are_unique_over_all_packs() -> None:
    ids = [item.id for pack in PACKS for item in items(pack)]
    ids += [item.id for item in sentences()]
    assert len(ids) == len(set(ids))


def test_a_file_with_other_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    items.cache_clear()
    monkeypatch.setitem(PINS, "refusals.jsonl", "0" * 64)
    with pytest.raises(EvaluationRefused) as caught:
        items("refusals")
    assert caught.value.code == "pack_changed"
