"""`appliance collection …`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import Services, open_services
from appliance.client import socket_path
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run


@contextlib.contextmanager
def serving(lab: LabData) -> Iterator[Services]:
    """The admin socket of a server that has nothing else."""
    with open_services(lab.data) as services:
        with serve_in_thread(create_admin_app(services), socket_path(lab.data)):
            yield services
        socket_path(lab.data).unlink()


def test_from_the_first_document_to_its_removal(lab: LabData, run: Run, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "pump.md").write_text("# Pumps\n\nThe relief valve opens at 12 bar.")
    (documents / "bad\x1b.pdf").write_bytes(b"no")
    with serving(lab) as services:
        key = services.keys.create("app")[0].id
        assert "No collections." in run("collection", "list").out
        assert run("collection", "new", "manuals").status == 0
        assert "No documents." in run("collection", "show", "manuals").out
        added = run("collection", "add", "manuals", documents, "--group", "fitters")
        assert added.out.startswith("1 added, 0 changed, 0 unchanged, 1 refused\n")
        assert "document_unreadable" in added.out and "\x1b" not in added.out
        again = run("collection", "add", "manuals", documents, "--keep-access", "--json").document
        assert (again["unchanged"], again["refused"], again["state"]) == (1, 1, "done")
        shown = run("collection", "show", "manuals").out
        assert "pump.md" in shown and "group:fitters" in shown
        found = run("collection", "search", "manuals", "relief valve").out
        assert "1. pump.md (Pumps)" in found and "   The relief valve opens" in found
        nothing = run("collection", "search", "manuals", "relief", "--as-key", key, "--json")
        assert nothing.code == (1, "collection_not_found")
        assert key in run("collection", "group", "fitters", "--add", key).out
        found_by = run("collection", "search", "manuals", "relief", "--as-key", key, "--json")
        assert [p["document"] for p in found_by.document["passages"]] == ["pump.md"]
        asked = tmp_path / "asked.jsonl"
        asked.write_text('{"query": "relief valve", "relevant": {"pump.md": 1}}\n')
        tuned = run("collection", "tune", "manuals", asked).out
        assert "bm25     1.000" in tuned and "too few to tell: 1 question; 50 are needed" in tuned
        asked.write_text('{"query": "relief valve", "relevant": {"other.md": 1}}\n')
        refused = run("collection", "tune", "manuals", asked, "--json")
        assert refused.code == (1, "questions_invalid")
        assert run("collection", "access", "manuals", "pump.md", "--none").status == 0
        assert run("collection", "verify", "manuals").out.startswith("verified: 1 document, ")
        assert run("collection", "remove", "manuals", "pump.md", "--yes").out == "removed 1\n"
        assert run("collection", "remove", "manuals", "--everything", "--yes").status == 0
        assert run("collection", "list", "--json").document == {"collections": []}


def test_nothing_comes_in_without_readers(lab: LabData, run: Run, tmp_path: Path) -> None:
    assert run("collection", "new", "c").status == 0
    for more in ((), ("--everyone", "--keep-access")):
        done = run("collection", "add", "c", tmp_path, *more, "--json")
        assert done.code == (2, "access_missing")
    assert run("collection", "access", "c", "d", "--json").code == (2, "access_missing")
    assert run("collection", "remove", "c", "--yes", "--json").code == (2, "document_missing")
    assert run("collection", "add", "c", tmp_path, "--everyone", "--json").status == 3


def test_damage_is_an_exit_status(lab: LabData, run: Run) -> None:
    from tests.retrieval.shelf import incoming

    assert run("collection", "new", "c").status == 0
    with open_services(lab.data) as services:
        collection = services.retrieval.library.get("c").collection
        collection.put(incoming("a", "text", embedded=False), "p", 1)
        with collection._database.begin() as connection:
            connection.exec_driver_sql("UPDATE chunks SET sha256 = 'x'")
    done = run("collection", "verify", "c")
    assert done.status == 1 and done.out.startswith("PROBLEMS: 1 document, ")
