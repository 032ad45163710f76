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
    """docs/generate.py is a script and no package."""
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
    listed = re.findall(r"^\| `([a-z0-9_]+)` \|", made["errors.md"], re.MULTILINE)
    assert sorted(listed) == sorted(CODES)
    for code, status in STATUS_BY_CODE.items():
        section = made["errors.md"].partition(f"\n### {status}\n")[2].partition("\n#")[0]
        assert f"| `{code}` |" in section
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


REPLACED = {
    "API key": "auth/test_keys.py::test_a_rotated_key_has_two_secrets_until_the_overlap_ends",
    "publisher, approver": "governance/test_trust_updates.py"
    "::test_keys_of_publisher_and_approver_are_replaced_with_an_overlap",
    "officer": "trust/ceremony/test_ceremony.py::test_a_holder_is_replaced",
    "witness": "auditor/test_witness.py::test_a_key_is_replaced_while_both_cosign",
    "vendor": "installer/host/test_commands.py::test_a_new_key_of_the_vendor_takes_over_by_command",
    "log": "audit/test_epoch.py::test_a_key_signs_for_so_long_and_so_many_entries",
    "evidence": "wiring/test_protection.py::test_keys_are_renewed_with_an_overlap",
    "certificate, CA": "server/test_onlooker.py"
    "::test_a_new_ca_takes_over_on_its_day_and_clients_of_both_never_fail",
    "texts": "wiring/test_stolen_disk.py::test_a_new_kek_leaves_nothing_to_the_old_one",
    "host key, passphrase": "wiring/test_protection.py::test_keys_are_renewed_with_an_overlap",
    "login service": "people/test_login_keys.py"
    "::test_a_new_key_is_found_without_waiting_and_a_flood_of_ids_reads_nothing",
}


def test_each_kind_of_key_is_replaced_by_a_command_that_a_test_tries() -> None:
    part = (DOCS / "admin-guide.md").read_text("utf-8").split("### Replacing keys\n")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines()[2:13]]
    assert [row[0] for row in rows] == [*REPLACED]
    commands = (DOCS / "cli.md").read_text("utf-8")
    for kind, command, _, _ in rows:
        for words in re.findall("`([^`]*)`", command):
            named = words.split(" --")[0].removesuffix(" host").removesuffix(" kek")
            named = named.removesuffix(" evidence")
            assert (
                words.startswith(("witness.py", "appliance-installer"))
                or f"## `{named.removeprefix('appliance ')}`" in commands
            ), words
        if where := REPLACED[kind]:
            file, name = where.split("::")
            assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), where
