"""Ingest as a job: additions, refusals, unchanged files."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.errors import ApplianceError, CollectionRefused
from appliance.jobs.kind import JsonObject
from appliance.retrieval import ingest, reading
from appliance.retrieval.access import ADMIN, of_key
from appliance.retrieval.checking import verify
from appliance.retrieval.collection import OpenCollection, Settings
from tests.retrieval.formats.test_docx import document, paragraph
from tests.retrieval.pdfs import pdf
from tests.retrieval.shelf import on_disk, pieces


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    data = tmp_path_factory.mktemp("ingest") / "data"
    initialise(data, "lab")
    with open_services(data) as services:
        yield services


@pytest.fixture
def shelf(opened: Services) -> Iterator[OpenCollection]:
    library = opened.retrieval.library
    library.create("c", Settings())
    yield library.get("c").collection
    library.drop("c")


async def ingested(services: Services, path: Path, *who: str, **more: Any) -> JsonObject:
    params = {"collection": "c", "path": str(path), "access": who or ("everyone",), **more}
    live = await services.jobs.start("ingest", params, "uid:0")
    result = (await live.outcome()).document
    return {**result, "job": live.job.id}


async def test_documents_of_each_kind_come_in_and_bad_ones_hurt_nothing(
    opened: Services, shelf: OpenCollection, tmp_path: Path
) -> None:
    files = {
        "a.txt": b"The pump leaks.",
        "sub/b.md": b"# Valve\n\nIt opens at 12 bar.",
        "c.html": b"<h1>Hoses</h1><p>They burst.",
        "d.docx": document(paragraph("Engines", "Heading1"), paragraph("They run.")),
        "e.pdf": pdf([["Tracks"], []]),
        "bad.pdf": b"%PDF-1.4 broken",
        "bad.docx": b"PK broken",
        "empty.txt": b" \n\x00",
        "what.exe": b"MZ",
        ".hidden.txt": b"hidden",
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    result = await ingested(opened, tmp_path, "key:k1", metadata={"site": "north"})
    assert [result[s] for s in ("added", "changed", "unchanged", "refused")] == [5, 0, 0, 4]
    rows = {row["name"]: row for row in shelf.reports(result["job"])}
    assert rows["what.exe"]["code"] == "document_unsupported"
    assert {rows[n]["code"] for n in ("bad.pdf", "bad.docx", "empty.txt")} == {
        "document_unreadable"
    }
    assert rows["e.pdf"]["message"] == "empty_pages"
    assert set(rows) == set(files) - {".hidden.txt"}
    found = {d.name: d for d in shelf.documents(ADMIN)}
    assert sorted(found) == ["a.txt", "c.html", "d.docx", "e.pdf", "sub/b.md"]
    assert found["sub/b.md"].title == "Valve" and found["e.pdf"].pages == 2
    assert shelf.documents(of_key("k2", [])) == [] and verify(shelf).problems == []
    searcher = opened.retrieval.library.get("c").searcher
    (passage,) = searcher.search(of_key("k1", []), "bar", 5, filters={"site": "north"}).passages
    assert (passage.document, passage.heading) == ("sub/b.md", "Valve")


async def test_values_of_metadata_are_in_no_job_and_no_entry(
    opened: Services, shelf: OpenCollection, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The pump leaks.")
    result = await ingested(opened, tmp_path / "a.txt", metadata={"patient": "Zq Kanari 61000"})
    job = (await opened.jobs.get(result["job"])).job
    assert "Kanari" not in str(job) and isinstance(json.loads(job.params)["kept"], int)
    entries = [str(entry.body) for entry in opened.reader.tail(20)]
    assert any("job_start" in entry for entry in entries)
    assert not any("Kanari" in entry for entry in entries)
    searcher = opened.retrieval.library.get("c").searcher
    wanted = {"patient": "Zq Kanari 61000"}
    assert searcher.search(ADMIN, "pump", 5, filters=wanted).passages  # the control
    with shelf.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM ingests").scalar_one() == 0
    params = {"collection": "c", "path": str(tmp_path), "kept": 1}
    with pytest.raises(CollectionRefused):
        await opened.jobs.start("ingest", params, "uid:0")


async def test_what_is_known_by_digest_is_not_read_again(
    opened: Services, shelf: OpenCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"text of {name}")
    await ingested(opened, tmp_path, "key:k1")
    (tmp_path / "b.txt").write_text("another text")
    real, seen = reading.read, []

    def counted(data: bytes, media: str) -> Any:
        seen.append(data)
        return real(data, media)

    monkeypatch.setattr(reading, "read", counted)
    result = await ingested(opened, tmp_path, "key:k2")
    assert (result["unchanged"], result["changed"], seen) == (1, 1, [b"another text"])
    assert [(d.name, d.version, d.access) for d in shelf.documents(ADMIN)] == [
        ("a.txt", 1, ["key:k2"]),
        ("b.txt", 2, ["key:k2"]),
    ]


async def test_lists_can_be_left_as_they_are_and_new_documents_need_one(
    opened: Services, shelf: OpenCollection, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one")
    await ingested(opened, tmp_path, "key:k1")
    (tmp_path / "a.txt").write_text("two")
    (tmp_path / "b.txt").write_text("three")
    result = await ingested(opened, tmp_path, access=None)
    assert (result["changed"], result["refused"]) == (1, 1)
    assert [(d.name, d.access) for d in shelf.documents(ADMIN)] == [("a.txt", ["key:k1"])]
    assert {r["code"] for r in shelf.reports(result["job"])} == {"", "access_missing"}


async def test_an_ingest_that_was_stopped_resumes_at_the_next_document(
    opened: Services, shelf: OpenCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        (tmp_path / f"{n}.txt").write_text(f"text {n}")
    real, seen = reading.read, []

    def counted(data: bytes, media: str) -> Any:
        seen.append(data)
        if len(seen) == 3:
            pausing = opened.jobs.pause(live.job.id, "uid:0")
            asyncio.run_coroutine_threadsafe(pausing, loop).result()
        return real(data, media)

    monkeypatch.setattr(reading, "read", counted)
    loop = asyncio.get_running_loop()
    params = {"collection": "c", "path": str(tmp_path), "access": ["everyone"]}
    live = await opened.jobs.start("ingest", params, "uid:0")
    with pytest.raises(ApplianceError) as paused:
        await live.outcome()
    assert paused.value.code == "job_paused" and len(shelf.documents(ADMIN)) == 3
    await opened.jobs.resume(live.job.id, "uid:0")
    again = opened.jobs.live(live.job.id)
    assert again is not None
    result = (await again.outcome()).document
    assert result["added"] == 6 and len(seen) == 6
    assert len(shelf.documents(ADMIN)) == 6 and verify(shelf).problems == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"collection": "none"}, "collection_not_found"),
        ({"access": ["nobody"]}, "access_invalid"),
        ({"path": "/nowhere"}, "document_missing"),
        ({"metadata": {"a": "x" * 2_000}}, "collection_invalid"),
        ({"extra": 1}, "collection_invalid"),
    ],
)
async def test_parameters_are_checked_before_anything_is_stored(
    opened: Services, shelf: OpenCollection, tmp_path: Path, params: JsonObject, code: str
) -> None:
    before = len(await opened.jobs.newest())
    good = {"collection": "c", "path": str(tmp_path), "access": ["everyone"]}
    with pytest.raises(CollectionRefused) as refused:
        await opened.jobs.start("ingest", {**good, **params}, "uid:0")
    assert refused.value.code == code
    assert len(await opened.jobs.newest()) == before and shelf.documents(ADMIN) == []


async def test_nothing_is_left_in_the_data_directory_of_what_was_removed(
    opened: Services, shelf: OpenCollection, tmp_path: Path
) -> None:
    rng = random.Random(1)
    words = ["zq" + "".join(rng.choices("bcdfghjkmnpqrtvwxz", k=12)) for _ in range(40)]
    for n in range(20):
        body = " ".join(rng.choices(["pump", *words[2 * n : 2 * n + 2]], k=200))
        (tmp_path / f"{n}.txt").write_text(body)
    await ingested(opened, tmp_path)
    shelf_ = opened.retrieval.library.get("c")
    assert shelf_.searcher.search(ADMIN, words[0], 5).passages

    before = pieces(opened.data, "c")
    assert on_disk(opened.data, before) == before and len(before) >= 20
    shelf_.remove([f"{n}.txt" for n in range(10)])
    after = pieces(opened.data, "c")
    assert on_disk(opened.data, before) == after and len(after) <= len(before) - 10


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "MOST_FILES", 1)
    for n in range(2):
        (tmp_path / f"{n}.txt").write_text("x")
    with pytest.raises(CollectionRefused) as refused:
        ingest._files(tmp_path)
    assert refused.value.code == "document_too_large"
