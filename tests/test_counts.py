"""Counts of the code that only fall: a change that lowers one lowers the number here, too."""

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator

from tests.conftest import CHECKOUT

_UNTYPED = re.compile(r"\b(?:dict|Mapping)\[str, (?:Any|object)\]|\bJsonObject\b")
_SQL = re.compile(r"^from sqlalchemy import .*\btext\b", re.MULTILINE)
_QUESTION = re.compile(r"(?:(?:Tell|Say|Give)s? )?(?:what|how|whether|who)\b", re.IGNORECASE)
_WORD = re.compile(r"\S*\w\S*")
_MADE = re.compile(
    r"<!-- [\w ]+: (?:made by docs/generate\.py|python -m docs\.).*?<!-- end[\w ]*-->", re.DOTALL
)
_PAGES_MADE = {
    "cli.md", "config.md", "errors.md", "install-results.md", "interop.md", "keys.md",
    "oms-interop.md", "soak-results.md",
}  # fmt: skip
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_PLURAL = re.compile(
    r"\} (?:entries|files|models|items|groups|keys|requests|jobs|approvals|rows|texts|documents"
    r"|labels|datasets|tasks|apps|alarms|examples|answers|questions|looks|artifacts|days)\b"
)

MODULES_WITH_SQL_AS_TEXT = 3
UNTYPED_LINES = 100
CLASS_NAMES_TWICE = 5
LONGEST_FUNCTION = 94
FIXED_PLURALS = 5
"""Texts of commands and screens with `{n} entries`, where `appliance.text.many` would agree."""
WORDS_OF_README = 898
"""As `wc -w` counts, code and tables included."""
WORDS_BY_HAND = 37_960
WORDS_MADE = 20_274
"""The words of the pages that programs write."""
QUESTIONING_DOCSTRINGS = 0
WORDS_OF_DOCSTRINGS = 128155


@functools.cache
def sources() -> dict[str, str]:
    found = (path for top in ("appliance", "tui") for path in (CHECKOUT / top).rglob("*.py"))
    return {p.relative_to(CHECKOUT).as_posix(): p.read_text(encoding="utf-8") for p in found}


@functools.cache
def trees() -> list[ast.Module]:
    return [ast.parse(text) for text in sources().values()]


def functions(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def untyped(name: str, text: str) -> int:
    """The lines outside `wire` that name a dict whose values have no type."""
    return 0 if "/wire/" in name else sum(map(bool, map(_UNTYPED.search, text.splitlines())))


def docstrings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            yield ast.get_docstring(node) or ""


def questioning(tree: ast.AST) -> int:
    """Docstrings that begin with a question word, or with Tells, Says or Gives and one."""
    return sum(bool(_QUESTION.match(text)) for text in docstrings(tree))


def documented(tree: ast.AST) -> int:
    """Words of docstrings."""
    return sum(len(_WORD.findall(text)) for text in docstrings(tree))


def twice(parsed: list[ast.Module]) -> int:
    """The names that more than one class has."""
    names = Counter(n.name for tree in parsed for n in tree.body if isinstance(n, ast.ClassDef))
    return sum(count > 1 for count in names.values())


def by_hand(page: str) -> int:
    """The words of a page outside of its generated parts; lines and bars of tables are none."""
    return len(_WORD.findall(_MADE.sub("", page)))


def test_modules_with_sql_as_text() -> None:
    found = [text for text in sources().values() if _SQL.search(text)]
    assert len(found) <= MODULES_WITH_SQL_AS_TEXT


def test_lines_with_untyped_dicts() -> None:
    assert sum(untyped(*item) for item in sources().items()) <= UNTYPED_LINES


def test_class_names_that_mean_two_things() -> None:
    assert twice(trees()) <= CLASS_NAMES_TWICE


def test_the_longest_function() -> None:
    assert max(lines for tree in trees() for lines in functions(tree)) <= LONGEST_FUNCTION


def test_counts_that_do_not_agree_with_their_noun() -> None:
    shown = (text for name, text in sources().items() if name.startswith(("appliance/cli", "tui")))
    assert sum(len(_PLURAL.findall(text)) for text in shown) <= FIXED_PLURALS


def test_docstrings_that_begin_with_a_question() -> None:
    assert sum(questioning(tree) for tree in trees()) <= QUESTIONING_DOCSTRINGS


def test_words_of_docstrings() -> None:
    assert sum(map(documented, trees())) <= WORDS_OF_DOCSTRINGS


def test_words_of_the_readme() -> None:
    assert len((CHECKOUT / "README.md").read_text(encoding="utf-8").split()) <= WORDS_OF_README


def test_words_of_the_guides_that_are_written_by_hand() -> None:
    pages = [p for p in (CHECKOUT / "docs").glob("*.md") if p.name not in _PAGES_MADE]
    assert sum(by_hand(p.read_text(encoding="utf-8")) for p in pages) <= WORDS_BY_HAND


def test_words_of_the_pages_that_programs_write() -> None:
    made = [(CHECKOUT / "docs" / name).read_text(encoding="utf-8") for name in _PAGES_MADE]
    assert sum(len(_WORD.findall(page)) for page in made) <= WORDS_MADE


def test_the_counts_see_what_they_count() -> None:
    text = 'class A:\n    """Who."""\n\n    def f(self, a: dict[str, Any]) -> None:\n        pass'
    tree = ast.parse(text)
    assert (untyped("a.py", text), untyped("a/wire/b.py", text)) == (1, 0)
    assert (twice([tree, tree]), twice([tree]), questioning(tree)) == (1, 0, 1)
    assert documented(tree) == 1
    assert _PLURAL.findall("f'{size} entries, {many(2, \"item\")}'") == ["} entries"]
    assert list(functions(tree)) == [2]
    made = "<!-- roles: made by docs/generate.py from x -->\n| a |\n<!-- end of roles -->"
    assert (by_hand("| one `two` |\n|---|\n"), by_hand(f"one {made} two")) == (2, 2)
