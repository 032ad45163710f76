"""The entries of a model's life."""

from appliance.app import Services
from appliance.audit.search import Query
from appliance.errors import StateRefused
from appliance.registry.audit_entries import Edges
from appliance.trust.store import ModelRecord, load_policy


def test_an_entry_names_what_changed_who_and_why(services: Services) -> None:
    edges, policy = Edges(services.audit), load_policy(services.data / "trust")
    record = ModelRecord("edge", "verified", digest="ab" * 32)
    edges.record("uid:7", record, "approved", policy, reason="why", held="memory")
    error = StateRefused("wrong_state", "no")
    edges.record("uid:7", record, "verified", policy, event="load_refused", error=error)
    found = services.reader.search(Query(kind="model", model="edge")).entries
    first, second = (e.body for e in found[-2:])
    assert (first["before"], first["state"], first["reason"]) == ("verified", "approved", "why")
    assert (first["actor"], first["digest"], first["held"]) == ("uid:7", "ab" * 32, "memory")
    assert (second["event"], second["code"], second["reason"]) == (
        "load_refused", "wrong_state", "no",
    )  # fmt: skip
