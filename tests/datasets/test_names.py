"""Names: by a title, by the list, by an announcement."""

import pytest

from appliance.datasets.names import spans


def found(text: str) -> set[str]:
    return {text[start:end] for start, end in spans(text)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Told Mrs O'Connell at once", "O'Connell"),
        ("Frau Dr. von Hagen bittet", "von Hagen"),
        ("Sabine hat gestern getauscht", "Sabine"),
        ("to Berg, Anna before noon", "Berg, Anna"),
        ("TOLD KEVIN TURNER AGAIN", "KEVIN TURNER"),
        ("John A. Smith complains", "John A. Smith"),
        ("Mark Peterson signed", "Mark Peterson"),
        ("Regards,\nTobias Lindqvist", "Tobias Lindqvist"),
    ],
)
def test_a_name_is_found(text: str, name: str) -> None:
    assert name in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Mark the box in May", "San Francisco Bay", "GRACE PERIOD", "Contact: LDAPException REASON",
        "contact Free Software Foundation", "Art Deco", "paula@werk.example",
    ],
)  # fmt: skip
def test_a_word_is_none(text: str) -> None:
    assert not found(text)
