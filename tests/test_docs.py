"""The generated documents say what the source says, and docs/api.md names the whole surface."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.api.app import PUBLIC
from appliance.api.errors import STATUS_BY_CODE
from appliance.config import ServerConfig
from appliance.errors import CODES
from appliance.wire.openai.fields import TABLE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def documents() -> dict[str, Callable[[], str]]:
    """The makers in docs/generate.py, which is a script and no package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: dict[str, Callable[[], str]] = module.DOCUMENTS
    return made


@pytest.mark.parametrize("name", documents())
def test_a_generated_document_is_current(name: str) -> None:
    current = (DOCS / name).read_text(encoding="utf-8")
    assert current == documents()[name](), "run `.venv/bin/python docs/generate.py`"


def test_every_code_and_every_key_is_in_its_document() -> None:
    made = {name: make() for name, make in documents().items()}
    listed = re.findall(r"^\| (?:\d{3} \| )?`([a-z0-9_]+)` \|", made["errors.md"], re.MULTILINE)
    assert sorted(listed) == sorted(CODES)
    for code, status in STATUS_BY_CODE.items():
        assert f"| {status} | `{code}` |" in made["errors.md"]
    for key in ServerConfig.__dataclass_fields__:
        assert f"| `{key}` |" in made["config.md"]
    tables = re.findall(r"^## `(\[.*?\])`", made["config.md"], re.MULTILINE)
    assert tables == [
        "[server]", "[tls]", "[metrics]", "[engine]", "[batches]", "[jobs]", "[routes]",
        "[tuning]", "[drift]", "[trust]", "[watch]", "[audit]",
        '[forward."NAME"]', '[notify."NAME"]', '[peers."NAME"]', '[models."ID"]', "[admin.roles]",
        "[people]", '[oidc."NAME"]', '[ldap."NAME"]', '[certificates."NAME"]', '[groups."NAME"]',
        '[upstreams."NAME"]',
    ]  # fmt: skip


def test_the_api_document_names_every_field_that_is_refused() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    missing = {name for row in TABLE for name in row.names if f"`{name}`" not in text}
    assert not missing


def test_the_api_document_names_every_route() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    routes = {
        *PUBLIC, "/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{id}",
        "/v1/receipts/{request-id}",
        "/ca.pem",
    }  # fmt: skip
    assert {r for r in routes if f"`{r}`" not in text} == set()
