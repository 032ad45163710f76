"""The entries of a model's life."""

import asyncio

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from appliance.errors import StateRefused
from appliance.registry.audit_entries import Edges
from appliance.trust.artifacts.store import ModelRecord, load_policy
from tests.answers import Slow


async def test_the_event_loop_runs_while_an_entry_becomes_durable(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(services, monkeypatch, "model")
    record, policy = ModelRecord("edge", "verified"), load_policy(services.data / "trust")
    edges = Edges(services.audit)
    recording = asyncio.create_task(edges.append("uid:7", record, "approved", policy))
    await slow.asked.wait()
    assert not recording.done()
    slow.gate.set()
    await recording
    newest = services.reader.search(Query(kind="model", model="edge")).entries[-1]
    assert newest.body["state"] == "approved"


def test_an_entry_names_what_changed_who_and_why(services: Services) -> None:
    edges, policy = Edges(services.audit), load_policy(services.data / "trust")
    record = ModelRecord("edge", "verified", digest="ab" * 32)
    edges.record("uid:7", record, "approved", policy, reason="why", fields={"held": "memory"})
    error = StateRefused("wrong_state", "no")
    edges.record("uid:7", record, "verified", policy, event="load_refused", error=error)
    found = services.reader.search(Query(kind="model", model="edge")).entries
    first, second = (e.body for e in found[-2:])
    assert (first["before"], first["state"], first["reason"]) == ("verified", "approved", "why")
    assert (first["actor"], first["digest"], first["held"]) == ("uid:7", "ab" * 32, "memory")
    assert (second["event"], second["code"], second["reason"]) == (
        "load_refused", "wrong_state", "no",
    )  # fmt: skip
