"""A certificate is suspended once, on the record."""

import pytest

from appliance.wiring.log import LogRoom
from appliance.wiring.routing import RoutingRoom
from appliance.wiring.serving import ServingRoom


def test_a_certificate_is_taken_away_once(
    log: LogRoom, routing: RoutingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(routing.routes, "suspend", lambda *given: told.append(given))
    routing.take_away("c" * 64, "licences", "too many wrong")
    body = log.reader.entry(log.reader.size - 1).body
    assert (body["action"], body["route"]) == ("route_suspended", "licences")
    assert told == [("c" * 64, "too many wrong")]
    monkeypatch.setattr(routing.certificates, "suspended", lambda certificate: "too many wrong")
    size = log.reader.size
    routing.take_away("c" * 64, "licences", "again")
    assert log.reader.size == size and len(told) == 1


def test_answers_of_routes_end_with_all_others(serving: ServingRoom, routing: RoutingRoom) -> None:
    assert routing.inference.under_way is serving.under_way
