"""Work beside the screen."""

import ast
import queue
import threading

import pytest

from appliance.errors import ApplianceError, NotFound
from tests.conftest import CHECKOUT
from tui.background import background


@pytest.mark.parametrize(
    ("raised", "code"),
    [(NotFound("not_found", "no"), "not_found"), (KeyError("x"), "incompatible_server")],
)
def test_an_error_is_an_answer(raised: Exception, code: str) -> None:
    told: queue.Queue[object] = queue.Queue()

    def work() -> object:
        raise raised

    background(work, told.put)
    found = told.get(timeout=30)
    assert isinstance(found, ApplianceError) and found.code == code


def test_it_keeps_no_program_from_ending() -> None:
    told: queue.Queue[object] = queue.Queue()
    background(lambda: threading.current_thread().daemon, told.put)
    assert told.get(timeout=30) is True


def made_in_the_open(source: str) -> list[str]:
    """Requests that a method itself makes: a value that none may carry would end the program.

    `background` and the poller run functions of their own, and tell what these raise.
    """
    module = ast.parse(source)
    wired = {
        name.asname or name.name
        for one in ast.walk(module)
        if isinstance(one, ast.ImportFrom) and (one.module or "").startswith("appliance.wire")
        for name in one.names
    }
    found: list[str] = []

    def look(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue  # is called elsewhere
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
                owner = ast.unparse(child.func.value).partition(".")[0]
                if child.func.attr == "of" and owner in wired:
                    found.append(ast.unparse(child.func))
            look(child)

    for one in ast.walk(module):
        if isinstance(one, ast.ClassDef):
            for method in one.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    look(method)
    return found


def test_no_screen_makes_a_request_where_a_refusal_would_end_it() -> None:
    bad = (
        "from appliance.wire.admin.logs import LogQuery\n"
        "class Page:\n"
        "    def ask(self):\n"
        "        query = LogQuery.of(text='x')\n"
    )
    assert made_in_the_open(bad) == ["LogQuery.of"]
    assert made_in_the_open(bad.replace("query = ", "later = lambda: ")) == []
    screens = list((CHECKOUT / "tui" / "screens").glob("*.py"))
    assert len(screens) > 20
    for path in screens:
        assert made_in_the_open(path.read_text("utf-8")) == [], path.name
