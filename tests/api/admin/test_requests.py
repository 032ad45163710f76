"""The running requests over the admin socket."""

from dataclasses import dataclass, replace
from typing import cast

from appliance.audit.log import Draft
from appliance.client import AdminClient
from appliance.inference import Inference
from appliance.runtime import Services
from appliance.types import ModelCard, Receipt
from appliance.wire.admin import RunningRequest
from tests.api.admin.lab import client_of

CARD = ModelCard("m", "00", 64, 0)


@dataclass(frozen=True)
class Answer:
    """What is public of a running answer."""

    intent: Receipt
    card: ModelCard = CARD
    prompt_tokens: int = 5
    completion_tokens: int = 2
    created: int = 1_764_000_000


@dataclass(frozen=True)
class Running:
    """Stands where the use-case is asked for its running answers."""

    answers: list[Answer]

    def running(self) -> list[Answer]:
        return self.answers


def intent(services: Services, request_id: str) -> Receipt:
    fields = {"request_id": request_id, "key_id": "k1", "model": "m"}
    (receipt,) = services.audit.append(Draft("intent", fields)).result()
    return receipt


def test_nothing_runs(client: AdminClient) -> None:
    assert client.requests().requests == []


def test_who_asked_comes_from_the_log_oldest_first(services: Services) -> None:
    first, second = intent(services, "r1"), intent(services, "r2")
    running = cast(Inference, Running([Answer(second), Answer(first)]))
    with client_of(replace(services, inference=running)) as client:
        shown = client.requests().requests
    assert [request.request_id for request in shown] == ["r1", "r2"]
    assert shown[0] == RunningRequest(
        seq=first.seq, request_id="r1", key_id="k1", model="m", prompt_tokens=5,
        completion_tokens=2, started="2025-11-24T16:00:00Z",
    )  # fmt: skip
