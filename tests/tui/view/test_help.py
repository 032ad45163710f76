"""The help fits its screen."""

import pytest

from tui.keys import PLACES, VERBS
from tui.screens.models import ModelsPage
from tui.view.help import page_of


@pytest.mark.parametrize(("width", "height"), [(54, 16), (74, 20), (116, 36), (196, 56)])
def test_it_fits_and_leaves_no_place_out(width: int, height: int) -> None:
    said = page_of(ModelsPage.ACTS, VERBS, width, height)
    assert len(said) <= height and max(line.cell_length for line in said) <= width
    text = "\n".join(line.plain for line in said)
    assert all(place.title in text for place in PLACES)
    assert all(act.words in text for act in ModelsPage.ACTS)
    assert ("labelled examples" in text) is (width >= 116)
