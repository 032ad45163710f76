"""The error tree and its codes, against the whole source."""

import ast
import inspect
import re
from collections import Counter
from pathlib import Path

from appliance import errors
from appliance.errors import CODES, TABLE, ApplianceError

SOURCE = Path(errors.__file__).parent
NO_STEP = re.compile(
    r"(?:The|A|An|It|This|That|All|Nothing|Nobody|Other|No|Only|After|What|docs/\S+) "
)
"""A hint that begins so tells a fact and no step."""
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, ApplianceError)
}


def raised_codes(tree: ast.AST) -> set[str]:
    """The codes that are spelled out where an error is made."""
    return {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).removesuffix(".of") in CLASSES
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def test_every_code_that_is_raised_is_known() -> None:
    raised = {path: raised_codes(ast.parse(path.read_text())) for path in SOURCE.rglob("*.py")}
    assert len(set().union(*raised.values())) > 200
    assert {
        str(p): codes - CODES.keys() for p, codes in raised.items() if codes - CODES.keys()
    } == {}


def test_the_search_for_codes_sees_them() -> None:
    for made in ("raise Refused('no_such_code', 'x')", "_bad = Refused.of('no_such_code', 'x')"):
        assert raised_codes(ast.parse(made)) == {"no_such_code"}


def test_every_class_is_drawn_in_the_tree() -> None:
    drawn = errors.__doc__ or ""
    assert [name for name in CLASSES if name not in drawn] == []


def test_every_code_tells_what_it_means_and_what_to_do() -> None:
    for code, (meaning, hint) in CODES.items():
        assert meaning and not meaning.endswith("."), code
        assert hint.endswith((".", "`")), code
        assert code == code.lower() and " " not in code


def test_every_line_of_the_table_is_of_one_code() -> None:
    lines = [line for line in TABLE.splitlines() if line and not line.startswith(("#", "    "))]
    assert [line.partition(":")[0] for line in lines] == list(CODES)


def test_every_hint_begins_with_what_to_do() -> None:
    assert [(code, hint) for code, (_, hint) in CODES.items() if NO_STEP.match(hint)] == []
    assert NO_STEP.match("docs/trust.md lists the limits.") and NO_STEP.match("The log has it.")


def test_one_thing_is_said_once() -> None:
    said = Counter(meaning for meaning, _ in CODES.values())
    assert {meaning: count for meaning, count in said.items() if count > 1} == {}


def test_an_error_explains_itself() -> None:
    error = errors.Refused("wrong_state", "m is retired.", param="id")
    assert (error.code, error.param) == ("wrong_state", "id")
    assert (error.message, error.hint) == ("m is retired.", CODES["wrong_state"].hint)
    made = errors.Refused.of("wrong_state", "The model")
    assert type(made("it is retired")) is errors.Refused
    assert str(made("it is retired")) == "The model: it is retired."
