"""Texts that are alike once personal data are masked."""

from appliance.datasets.duplicates import Index, plain
from appliance.datasets.likeness import Likeness

TEXTS = [
    "Call (415) 555-2671, ask for Rebecca Lawson, born 07-19-1955",
    "the hose of the left cylinder leaks",
    "Call 303-499-7111, ask for Tobias Lindqvist, born 2 February 1948",
    "the hoses of the left cylinder leak",
]


def test_the_mask_joins_what_the_texts_do_not() -> None:
    bare = Index([plain(text) for text in TEXTS])
    assert bare.components() == [0, 1, 2, 1]  # the control
    both = Likeness(TEXTS)
    assert both.components() == [0, 1, 0, 1]
    assert both.matches([2, 3], [0, 1]) == {2: (0, 1.0), 3: (1, bare.matches([3], [1])[3][1])}
    assert both.complete


def test_without_personal_data_it_is_the_index() -> None:
    assert Likeness(TEXTS[1::2]).components() == [0, 0]
