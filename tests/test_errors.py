"""The error tree and its codes, against the whole source."""

import ast
import inspect
from pathlib import Path

from appliance import errors
from appliance.errors import CODES, ApplianceError

SOURCE = Path(errors.__file__).parent
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


def test_an_error_explains_itself() -> None:
    error = errors.Refused("wrong_state", "m is retired.", param="id")
    assert (error.code, error.param) == ("wrong_state", "id")
    assert (error.message, error.hint) == ("m is retired.", CODES["wrong_state"].hint)
    made = errors.Refused.of("wrong_state", "The model")
    assert type(made("it is retired")) is errors.Refused
    assert str(made("it is retired")) == "The model: it is retired."
