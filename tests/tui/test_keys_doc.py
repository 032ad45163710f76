"""docs/keys.md says what the program binds, and no key is bound twice on a screen."""

import importlib.util

from tests.conftest import CHECKOUT
from tui.app import PAGES, OperatorApp

DOCS = CHECKOUT / "docs"


def test_the_document_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate_keys", DOCS / "generate_keys.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "keys.md").read_text(encoding="utf-8") == module.keys_document()


def keys_of(*classes: type) -> list[str]:
    bound = [b for c in classes for b in vars(c).get("BINDINGS", ())]
    return [key for b in bound for key in b.key.split(",")]


def test_no_key_is_bound_twice_on_a_screen() -> None:
    for page in PAGES:
        keys = keys_of(*page.__mro__[:2], OperatorApp)
        assert len(set(keys)) == len(keys), (page, keys)


def test_no_key_is_a_terminal_s_own() -> None:
    taken = {"ctrl+s", "ctrl+q", "ctrl+b", "ctrl+z"}
    for page in PAGES:
        assert not taken & set(keys_of(*page.__mro__, OperatorApp))
