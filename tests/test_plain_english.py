"""The worst phrases stay out of what a person reads first (`CONTRIBUTING.md`)."""

import ast
import re

import pytest

from tests.conftest import CHECKOUT

PHRASES = re.compile(
    r"\b(?:whoever|whosoever|anew|gone on with|goes on with|go on with|asked about again"
    r"|is there not|is told about|are told about|gives? way|gave way|sets? aside|set aside"
    r"|for want of|is to be had|what it can of)\b|\bnobody\b|(?:^|[.:] )Of what ",
    re.IGNORECASE | re.MULTILINE,
)
RESULTS = ("install-results", "interop", "soak-results", "oms-interop")
"""Pages that tests write."""
READ_FIRST = (
    "README.md", "CONTRIBUTING.md",
    *sorted(f"docs/{p.name}" for p in (CHECKOUT / "docs").glob("*.md") if p.stem not in RESULTS),
)  # fmt: skip
SHIPPED = sorted(path for top in ("appliance", "tui") for path in (CHECKOUT / top).rglob("*.py"))


def found(text: str) -> list[str]:
    """Each phrase with what stands around it."""
    return [text[max(0, m.start() - 40) : m.end() + 20] for m in PHRASES.finditer(text)]


def test_what_is_read_first_is_plain() -> None:
    texts = {name: (CHECKOUT / name).read_text(encoding="utf-8") for name in READ_FIRST}
    assert {name: found(text) for name, text in texts.items() if found(text)} == {}


def test_module_docstrings_are_plain() -> None:
    said = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in SHIPPED}
    assert {str(path): found(text) for path, text in said.items() if found(text)} == {}


@pytest.mark.parametrize(
    "text",
    [
        "An interrupted copy is gone on with.",
        "Rules: whoever is over a limit is cut off.",
        "Batch work gives way.",
        "A plan that nobody signed.",
        "It is fine. Of what is left, nothing stays.",
    ],
)
def test_such_a_phrase_is_found(text: str) -> None:
    assert found(text)
