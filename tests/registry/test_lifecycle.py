"""A model's life, with the record of each edge, and a log that cannot be written."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.audit.search import Query
from appliance.config import AuditConfig
from appliance.errors import (
    AuditUnavailable,
    PolicyRefused,
    Refused,
)
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.records import Records
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.policy.policy import PAYLOAD_TYPE
from appliance.trust.statements import approval
from tests.smol import APPROVERS, SMALL, approve, key, quiet
from tests.trust import forge

ACTOR = "uid:4711"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    initialise(tmp_path / "data", "lab")
    return tmp_path / "data"


@pytest.fixture
def services(data: Path) -> Iterator[Services]:
    with open_services(data, config=SMALL) as opened:
        yield opened


def tiny(services: Services, name: str = "tiny", sign: bool = True) -> Path:
    """An artifact that passes every check but is too small to be computed."""
    path = services.data.parent / name
    forge.make_artifact(path)
    if sign:
        signing.sign_directory(path, key(services.data, "publisher"), quiet)
    return path


def sign_approval(services: Services, model_id: str, name: str) -> bytes:
    return approval.sign(
        services.lifecycle.subject(model_id),
        name=name,
        meaning="fit for use",
        time_us=services.clock.wall_us(),
        private_key=key(services.data, name),
    )


def revoke_publisher(services: Services) -> None:
    path = services.data / "trust" / "policy.json"
    document = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
    document["revoked"]["keys"] = document["roles"]["publisher"]["keys"]
    root = ecdsa.load_private(key(services.data, "root"))
    path.write_bytes(dsse.sign(strict_json.dump(document), PAYLOAD_TYPE, [root]))


def edges(services: Services, model_id: str) -> list[dict[str, Any]]:
    found = services.reader.search(Query(kind="model", model=model_id, limit=1000)).entries
    return [dict(e.body) for e in sorted(found, key=lambda e: e.seq)]


def steps(services: Services, model_id: str) -> list[tuple[Any, Any, Any]]:
    return [(e["event"], e["before"], e["state"]) for e in edges(services, model_id)]


def test_each_edge_is_recorded_with_who_and_what(services: Services) -> None:
    lifecycle = services.lifecycle
    imported = lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    assert imported.state == "verified"
    approve(services, "tiny", APPROVERS[0])
    assert lifecycle.record("tiny").state == "verified"
    approve(services, "tiny", APPROVERS[1])
    assert lifecycle.record("tiny").state == "approved"
    assert steps(services, "tiny") == [
        ("state", "media", "quarantined"),
        ("state", "quarantined", "vetted"),
        ("state", "vetted", "verified"),
        ("approval", "verified", "verified"),
        ("approval", "verified", "approved"),
    ]
    first, _vetted, verified, *approvals = edges(services, "tiny")
    uniform = {"actor", "model", "event", "before", "state", "digest", "policy", "reason", "code"}
    assert all(uniform <= e.keys() and e["policy"] == 1 for e in edges(services, "tiny"))
    assert first["actor"] == ACTOR
    assert verified["digest"] == imported.digest and verified["signer"]
    assert [a["approver"] for a in approvals] == list(APPROVERS)
    assert all(a["digest"] == imported.digest for a in approvals)


def test_the_edge_is_durable_before_the_state_changes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for owner, name in ((services.store.inventory, "set_state"), (Records, "add_approval")):
        change = getattr(owner, name)

        def watched(*given: Any, change: Any = change, **rest: Any) -> Any:
            recorded, state = edges(services, "tiny")[-1]["state"], given[-1]
            seen.append((recorded, "verified" if state is None else state))
            return change(*given, **rest)

        monkeypatch.setattr(owner, name, watched)
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    assert [state for _, state in seen] == ["vetted", "verified", "verified", "approved"]
    assert all(recorded == state for recorded, state in seen)


async def test_without_a_record_nothing_changes(data: Path) -> None:
    with open_services(data, config=SMALL) as services:
        services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
        approve(services, "tiny", *APPROVERS)
        path = tiny(services, "second")
    full = replace(SMALL, audit=AuditConfig(reserve_mib=1 << 20))
    with open_services(data, config=full) as services:
        with pytest.raises(AuditUnavailable):
            await services.pool.suspend(ACTOR, "tiny", "x")
        with pytest.raises(AuditUnavailable):
            await services.pool.load(ACTOR, "tiny")
        with pytest.raises(AuditUnavailable):
            services.lifecycle.import_model(ACTOR, path, None, quiet)
        states = {r.id: r.state for r in services.lifecycle.records()}
        assert states.pop("tiny") == "approved"
        assert states in ({}, {"second": "quarantined"})


def test_an_approval_that_does_not_hold_is_recorded_and_changes_nothing(
    services: Services,
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", APPROVERS[0])
    for envelope in (b"{}", b"not json"):
        with pytest.raises(Refused) as caught:
            services.lifecycle.approve(ACTOR, "tiny", envelope)
        last = edges(services, "tiny")[-1]
        assert (last["event"], last["code"]) == ("approval_refused", caught.value.code)
    with pytest.raises(PolicyRefused) as twice:
        approve(services, "tiny", APPROVERS[0])
    assert twice.value.code == "approval_duplicate"
    assert services.lifecycle.record("tiny").state == "verified"


async def code_of(action: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as caught:
        await action()
    return caught.value.code
