"""Postal addresses: whole, and none in what only looks like one."""

import re

import pytest

from appliance.datasets.addresses import PATTERNS

ALL = [re.compile(pattern, re.IGNORECASE) for pattern in PATTERNS]


@pytest.mark.parametrize(
    "text",
    [
        "850 N. Lake Shore Drive, Apt 1203",
        "675 Mass Ave,\nCambridge, MA 02139",
        "77B Baker Street, London NW1 6XE",
        "Am Alten Markt 3, 14467 Potsdam",
        "25 avenue des Ternes, 75017 Paris",
        "Via Roma 10",
        "P.O. Box 1187",
    ],
)
def test_an_address_is_taken_whole(text: str) -> None:
    assert text in [found[0] for one in ALL for found in one.finditer(f"to {text}, please")]


@pytest.mark.parametrize("text", ["Dichtring 12 mm", "12V POWER TO TWO WAY", "Steckplatz 2, 400 V"])
def test_a_part_of_a_machine_is_none(text: str) -> None:
    assert not any(one.search(text) for one in ALL)
