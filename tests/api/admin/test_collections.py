"""Collections over the admin socket: each change is recorded, and documents by digest alone."""

import json
from pathlib import Path

import pytest

from appliance.api.admin.collections import _prefixes
from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.trust.artifacts.signing import sign_directory
from appliance.wire.admin import collections as wire
from appliance.wire.admin.jobs import JOB
from tests.api.admin.lab import LabData, start_job
from tests.retrieval.shelf import incoming
from tests.smol import quiet


def made(client: AdminClient, services: Services) -> None:
    client.call(wire.COLLECTION_NEW, wire.CollectionNew.of(name="c"))
    collection = services.retrieval.library.get("c").collection
    for name, who in (("a.txt", "everyone"), ("b.txt", "key:k9")):
        collection.put(incoming(name, f"pump of {name}", access=[who], embedded=False), "p", 1)


def entries(services: Services, action: str) -> list[dict[str, object]]:
    bodies: list[dict[str, object]] = [dict(entry.body) for entry in services.reader.tail(50)]
    return [body for body in bodies if body.get("action") == action]


def code_of(call: object) -> str:
    with pytest.raises(ApplianceError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_a_collection_is_made_listed_and_shown(client: AdminClient, services: Services) -> None:
    assert client.call(wire.COLLECTIONS).collections == []
    made(client, services)
    (listed,) = client.call(wire.COLLECTIONS).collections
    assert (listed.name, listed.documents, listed.ranking) == ("c", 2, "bm25")
    shown = client.call(wire.COLLECTION, name="c")
    assert [(d.name, d.access) for d in shown.documents] == [
        ("a.txt", ["everyone"]),
        ("b.txt", ["key:k9"]),
    ]
    (entry,) = entries(services, "collection_new")
    assert (entry["collection"], entry["ranking"]) == ("c", "bm25")


def test_what_cannot_be_made_leaves_no_entry(client: AdminClient, services: Services) -> None:
    for fields, code in (
        ({"name": "A"}, "collection_invalid"),
        ({"name": "x", "embedder": "none"}, "collection_invalid"),
        ({"name": "x", "ranking": "vectors"}, "collection_invalid"),
    ):
        wanted = wire.CollectionNew.of(**fields)
        assert code_of(lambda wanted=wanted: client.call(wire.COLLECTION_NEW, wanted)) == code
    made(client, services)
    again = wire.CollectionNew.of(name="c")
    assert code_of(lambda: client.call(wire.COLLECTION_NEW, again)) == "collection_exists"
    assert len(entries(services, "collection_new")) == 1
    assert code_of(lambda: client.call(wire.COLLECTION, name="none")) == "collection_not_found"


def test_access_changes_and_is_recorded(client: AdminClient, services: Services) -> None:
    made(client, services)
    client.call(
        wire.COLLECTION_ACCESS, wire.AccessWanted.of(document="a.txt", access=["group:g"]), name="c"
    )
    assert client.call(wire.COLLECTION, name="c").documents[0].access == ["group:g"]
    (entry,) = entries(services, "collection_access")
    assert entry["access"] == ["group:g"] and "a.txt" not in str(entry)
    assert (
        code_of(
            lambda: client.call(
                wire.COLLECTION_ACCESS,
                wire.AccessWanted.of(document="a.txt", access=["x"]),
                name="c",
            )
        )
        == "access_invalid"
    )
    assert (
        code_of(
            lambda: client.call(
                wire.COLLECTION_ACCESS, wire.AccessWanted.of(document="z", access=[]), name="c"
            )
        )
        == "document_missing"
    )
    assert len(entries(services, "collection_access")) == 1


def test_removal(client: AdminClient, services: Services, lab: object) -> None:
    made(client, services)
    digest = client.call(wire.COLLECTION, name="c").documents[0].source_sha256
    assert (
        code_of(
            lambda: client.call(
                wire.COLLECTION_REMOVE, wire.RemoveWanted.of(documents=["a.txt", "z"]), name="c"
            )
        )
        == "document_missing"
    )
    assert (
        client.call(
            wire.COLLECTION_REMOVE, wire.RemoveWanted.of(documents=["a.txt"]), name="c"
        ).removed
        == 1
    )
    (entry,) = entries(services, "collection_remove")
    assert digest not in str(entry) and "a.txt" not in str(entry)  # a short file's would be found
    assert json.loads(services.reader.content(int(str(entry["seq"])), "documents")) == [digest]
    assert [d.name for d in client.call(wire.COLLECTION, name="c").documents] == ["b.txt"]
    assert (
        client.call(
            wire.COLLECTION_REMOVE, wire.RemoveWanted.of(documents=[], everything=True), name="c"
        ).removed
        == 1
    )
    assert client.call(wire.COLLECTIONS).collections == []


def test_a_search_as_admin_and_as_a_key(client: AdminClient, services: Services) -> None:
    made(client, services)
    everything = client.call(wire.COLLECTION_SEARCH, wire.SearchWanted.of(query="pump"), name="c")
    assert {p.document for p in everything.passages} == {"a.txt", "b.txt"}
    key = services.keys.create("app")[0].id
    some = client.call(
        wire.COLLECTION_SEARCH, wire.SearchWanted.of(query="pump", key_id=key), name="c"
    )
    assert {p.document for p in some.passages} == {"a.txt"}
    found = [e.body["as_key"] for e in services.reader.tail(50) if e.kind == "search"]
    assert found == [None, key]
    unknown = wire.SearchWanted.of(query="pump", key_id="none")
    assert (
        code_of(lambda: client.call(wire.COLLECTION_SEARCH, unknown, name="c")) == "unknown_key_id"
    )


def test_verification_and_reports(client: AdminClient, services: Services) -> None:
    made(client, services)
    assert client.call(wire.COLLECTION_VERIFY, name="c").problems == []
    collection = services.retrieval.library.get("c").collection
    with collection._database.begin() as connection:
        connection.exec_driver_sql("UPDATE chunks SET start = start + 1 WHERE id = 1")
    assert len(client.call(wire.COLLECTION_VERIFY, name="c").problems) == 1
    collection.report(4, "x.pdf", "refused", "document_unreadable", "It is cut.")
    assert [r.code for r in client.call(wire.INGEST_REPORT, name="c", job_id=4).documents] == [
        "document_unreadable"
    ]


def test_groups(client: AdminClient, services: Services) -> None:
    key = services.keys.create("app")[0].id
    changed = client.call(wire.GROUP_CHANGE, wire.GroupChange.of(name="g", add=[key]))
    assert (changed.name, changed.keys) == ("g", [key])
    assert [g.name for g in client.call(wire.GROUPS).groups] == ["g"]
    bad = wire.GroupChange.of(name="g", add=["none"])
    assert code_of(lambda: client.call(wire.GROUP_CHANGE, bad)) == "unknown_key_id"
    assert len(entries(services, "key_group")) == 1


def test_a_document_comes_in_by_a_job(
    client: AdminClient, services: Services, tmp_path: Path
) -> None:
    client.call(wire.COLLECTION_NEW, wire.CollectionNew.of(name="c"))
    source = tmp_path / "a.txt"
    source.write_text("The pump leaks.")
    params = {"collection": "c", "path": str(source), "access": ["everyone"]}
    job = start_job(client, "ingest", params)
    while client.call(JOB, job_id=job.id).state in ("queued", "running"):
        pass
    assert client.call(JOB, job_id=job.id).told == {
        "collection": "c", "added": 1, "changed": 0, "unchanged": 0, "refused": 0,
    }  # fmt: skip


def test_prefixes_are_those_that_the_publisher_signed(
    lab: LabData, client: AdminClient, services: Services
) -> None:
    said = '{"version": 1, "embedding": {"query_prefix": "ask: ", "passage_prefix": "say: "}}'
    for name, text in (("plain-e5-small", '{"version": 1}'), ("said-e5-small", said)):
        artifact = lab.artifact(name)
        (artifact / "model.sig").unlink()
        (artifact / "artifact.json").write_text(text)
        sign_directory(artifact, lab.key("publisher").read_bytes(), quiet)
        services.lifecycle.import_model("uid:0", artifact, None, quiet)
    assert _prefixes(services, "plain-e5-small") == ("query: ", "passage: ")
    assert _prefixes(services, "said-e5-small") == ("ask: ", "say: ")
    assert _prefixes(services, "") == ("", "")
