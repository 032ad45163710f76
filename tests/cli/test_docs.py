"""`docs`: the guides in the terminal; an installation without them says so."""

import socket
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from appliance.cli import docs
from tests.cli.conftest import run_command

_TEXT = "# Keys\n\nSee [the guide](../docs/admin-guide.md#keys), [api.md](api.md).<!-- made -->\n"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with one page, in place of this one."""
    monkeypatch.setattr(docs, "PAGES", tmp_path)
    (tmp_path / "_sources" / "docs").mkdir(parents=True)
    (tmp_path / "_sources" / "index.md.txt").write_text("# Contents\n")
    (tmp_path / "_sources" / "docs" / "keys.md.txt").write_text(_TEXT)
    (tmp_path / "index.html").write_text("<h1>Contents</h1>")
    return tmp_path


@pytest.mark.parametrize("name", ["keys", "docs/keys.md"])
def test_a_page_is_printed(built: Path, name: str) -> None:
    assert run_command("docs", name).out == _TEXT
    assert run_command("docs", name, "--json").document == {"page": "keys", "text": _TEXT}


def test_the_contents_name_the_pages(built: Path) -> None:
    assert run_command("docs", "contents", "--json").document == {"pages": {"keys": "Keys"}}
    assert "keys  Keys" in run_command("docs", "contents").out


def test_an_unknown_page_is_refused(built: Path) -> None:
    assert run_command("docs", "../../index", "--json").code == (1, "unknown_page")


def test_an_installation_without_pages_says_so(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "PAGES", built / "none")
    for arguments in ([], ["contents"], ["keys"]):
        assert run_command("docs", *arguments, "--json").code == (1, "docs_missing")


def test_a_port_that_is_taken_is_named(built: Path) -> None:
    with socket.create_server((docs.HOST, 0)) as other:
        done = run_command("docs", "--port", str(other.getsockname()[1]))
    assert done.status == 1 and "docs_port_taken" in done.err and "in use" in done.err


def test_the_site_begins_with_the_contents_and_has_nothing_beside_its_files(built: Path) -> None:
    client = TestClient(docs.site(built), base_url="http://127.0.0.1")
    assert client.get("/").text == "<h1>Contents</h1>"
    (built.parent / "secret").write_text("x")
    for path in ("/none", "/../secret", "/%2e%2e/secret", "/_sources"):
        assert client.get(path).status_code == 404, path


def test_a_terminal_shows_text_in_place_of_markdown() -> None:
    shown = docs.drawn(_TEXT)
    assert "the guide (admin-guide), api.md" in shown
    assert not any(mark in shown for mark in ("](", "made", "# "))
