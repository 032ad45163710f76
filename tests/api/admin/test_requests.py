"""The running requests over the admin socket."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.errors import ApplianceError, Refused
from appliance.routing.answering import RoutedInference
from appliance.types import Caller, ModelCard, Principal, Priority, Receipt
from appliance.wire.admin.models import REQUEST_CANCEL, REQUESTS, RunningRequest
from tests.api.admin.lab import client_of
from tests.parts import having

CARD = ModelCard("m", "00", 64, 0)


def caller(request_id: str) -> Caller:
    return Caller(Principal("k1", "app"), request_id, "127.0.0.1", "/v1/completions")


@dataclass(frozen=True)
class Answer:
    caller: Caller
    intent: Receipt
    card: ModelCard = CARD
    prompt_tokens: int = 5
    completion_tokens: int = 2
    created: int = 1_764_000_000
    queued: bool = False
    priority: Priority = Priority.BATCH


@dataclass
class Running:
    """Stands where the use-case is asked for its running answers."""

    answers: list[Answer]
    ended: list[tuple[str, str]] = field(default_factory=list)

    def running(self) -> list[Answer]:
        return self.answers

    async def cancel(self, request_id: str, why: ApplianceError) -> bool:
        self.ended.append((request_id, why.code))
        return True


def answers() -> list[Answer]:
    return [
        Answer(caller("r2"), Receipt(7, bytes(32), 8)),
        Answer(caller("r1"), Receipt(3, bytes(32), 4)),
    ]


def test_nothing_runs(client: AdminClient) -> None:
    assert client.call(REQUESTS).requests == []


def test_requests_are_told_oldest_first(services: Services) -> None:
    running = cast(RoutedInference, Running(answers()))
    with client_of(having(services, inference=running)) as client:
        shown = client.call(REQUESTS).requests
    assert [request.request_id for request in shown] == ["r1", "r2"]
    assert shown[0] == RunningRequest(
        seq=3, request_id="r1", key_id="k1", app="app", model="m", prompt_tokens=5,
        completion_tokens=2, started="2025-11-24T16:00:00Z", priority="batch",
    )  # fmt: skip


def test_a_request_is_ended_and_the_log_names_the_person(services: Services) -> None:
    running = Running(answers())
    with client_of(having(services, inference=cast(RoutedInference, running))) as client:
        assert client.call(REQUEST_CANCEL, request_id="r1").cancelled
        with pytest.raises(Refused) as caught:
            client.call(REQUEST_CANCEL, request_id="r9")
    assert caught.value.code == "not_found"
    assert running.ended == [("r1", "request_cancelled")]
    (entry,) = services.reader.search(Query(kind="admin")).entries
    assert (entry.body["action"], entry.body["request_id"]) == ("request_cancel", "r1")
    assert str(entry.body["actor"]).startswith("uid:")
