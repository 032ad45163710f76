"""Markdown."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.retrieval.formats.markdown import read

SAMPLE = (b"# One\n\nTwo.", b"One\n\nTwo.")

TEXT = b"""# Pumps #
Intro *text*
goes on.

Relief
------
- first
- second

| a | b |
|---|---|
| 1 | 2 |
after

```sh
# no heading
ls
```
#no heading either
"""


def test_structure_is_kept() -> None:
    done = read(TEXT)
    found = [(b.kind, b.level, done.text[b.start : b.end].decode()) for b in done.blocks]
    assert found == [
        ("heading", 1, "Pumps"),
        ("paragraph", 0, "Intro *text*\ngoes on."),
        ("heading", 2, "Relief"),
        ("item", 0, "- first"),
        ("item", 0, "- second"),
        ("table", 0, "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("paragraph", 0, "after"),
        ("code", 0, "# no heading\nls"),
        ("paragraph", 0, "#no heading either"),
    ]
    assert done.title == "Pumps"


@given(st.text("#`~|-= ab\n1.", max_size=200))
def test_no_letter_is_lost(text: str) -> None:
    letters = [c for c in text if c in "ab"]
    found = [c for c in read(text.encode()).text.decode() if c in "ab"]
    fences = text.count("```") + text.count("~~~")
    assert found == letters or fences  # the word after a fence names a language
