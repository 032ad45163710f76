"""HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.retrieval.formats.html import read

SAMPLE = (b"<h1>One</h1><p>Two.", b"One\n\nTwo.")

PAGE = b"""<!doctype html><html><head><title>Pump &amp; valve</title>
<style>p { color: red }</style><script>alert("no")</script></head>
<body><h1>Relief <em>valves</em></h1><p>They open
at 12&nbsp;bar.<br>Always.<ul><li>one<li>two</ul>
<table><tr><th>part<th>bar</tr><tr><td>valve</td><td>12</td></tr></table>
<pre>x = 1
  y = 2</pre><noscript>hidden</noscript><template>hidden</template>last</body></html>"""


def test_structure_is_kept_and_programs_are_not_text() -> None:
    done = read(PAGE)
    found = [(b.kind, b.level, done.text[b.start : b.end].decode()) for b in done.blocks]
    assert found == [
        ("heading", 1, "Relief valves"),
        ("paragraph", 0, "They open at 12 bar."),
        ("paragraph", 0, "Always."),
        ("item", 0, "one"),
        ("item", 0, "two"),
        ("table", 0, "part | bar\nvalve | 12"),
        ("code", 0, "x = 1\n y = 2"),
        ("paragraph", 0, "last"),
    ]
    assert done.title == "Pump & valve"


@pytest.mark.parametrize("encoding", ["iso-8859-1", "windows-1252", "utf-8"])
def test_the_named_encoding_is_used(encoding: str) -> None:
    page = f"<meta charset='{encoding}'><p>W\u00e4rme".encode(encoding)
    assert read(page).text.decode() == "W\u00e4rme"


def test_nesting_of_any_depth_is_read() -> None:
    assert read(b"<div>" * 200_000 + b"deep").text == b"deep"
    assert read(b"<table>" * 10_000 + b"deep").text == b"deep"


@given(st.text("<>/ abhp1tdr!-&;\"'=", max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    read(text.encode())
