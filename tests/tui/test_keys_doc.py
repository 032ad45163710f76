"""docs/keys.md says what the program binds."""

import importlib.util

from tests.conftest import CHECKOUT

DOCS = CHECKOUT / "docs"


def test_the_document_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate_keys", DOCS / "generate_keys.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "keys.md").read_text(encoding="utf-8") == module.keys_document()
