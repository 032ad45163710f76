"""Names in the log: cleaned, bounded, and pseudonyms that need the key."""

import pytest

from appliance.people.names import LONGEST, Aliases, cleaned


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("ann", "ann"),
        ("  ann@example.org ", "ann@example.org"),
        ("e\u0301va", "\u00e9va"),
        ("a\x00n\x1b[31mn\u202e", "an[31mn"),
        ("a\ud800b", "ab"),
        ("\u200b\u200d", ""),
        ("", ""),
    ],
)
def test_what_does_not_print_is_left_out(given: str, kept: str) -> None:
    assert cleaned(given) == kept


def test_long_names_are_bounded_and_stay_different() -> None:
    one, two = cleaned("x" * 100_000 + "a"), cleaned("x" * 100_000 + "b")
    assert len(one) <= LONGEST and one != two and one.startswith("xxx")
    assert cleaned("x" * LONGEST) == "x" * LONGEST


def test_a_pseudonym_is_the_same_for_the_same_name_and_key_alone() -> None:
    ours, theirs = Aliases(lambda: b"a" * 32), Aliases(lambda: b"b" * 32)
    assert ours.of("ann") == ours.of("ann") != ours.of("Ann")
    assert ours.of("ann") != ours.of("\u0430nn")  # Cyrillic: it only looks alike
    assert ours.of("ann") != theirs.of("ann")
    assert "ann" not in ours.of("ann")
    assert Aliases(lambda: b"", pseudonyms=False).of("ann") == "ann"


def test_only_a_search_by_name_resolves() -> None:
    ours = Aliases(lambda: b"a" * 32)
    assert ours.resolves("ann") and not ours.resolves(ours.of("ann"))
    assert not Aliases(lambda: b"", pseudonyms=False).resolves("ann")
