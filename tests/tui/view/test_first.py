"""The first screen's words."""

from tui.view.first import welcome


def test_it_says_what_will_happen_and_the_commands() -> None:
    said = "\n".join(row.plain for row in welcome("/srv/a", 76, readonly=False))
    for words in ("/srv/a", "1 init", "3 serve", "LAB means", "appliance init", "Enter sets"):
        assert words in said, words
    assert "Enter sets" not in "\n".join(r.plain for r in welcome("/d", 76, readonly=True))
