"""The handbook of the tour, and the questions about it."""

import re
from collections import Counter
from pathlib import Path

from examples import tour_documents


def test_each_question_is_answered_by_one_sentence_of_the_handbook(tmp_path: Path) -> None:
    tour_documents.write(tmp_path / "handbook")
    text = (tmp_path / "handbook" / "handbook.md").read_text(encoding="utf-8")
    items = tour_documents.items()
    assert Counter(item["split"] for item in items) == tour_documents.SHARES
    assert len({item["group"] for item in items}) == len(items) == 80
    for item in items:
        sentence, _ = re.fullmatch(r'"(.*)\\\." (.*)', item["expected"]).groups()  # type: ignore[union-attr]
        assert text.count(f"{sentence}.") == 1
        assert re.fullmatch(item["expected"], f'"{sentence}." [2]')
        assert item["input"]["question"][-9:-6] in sentence
