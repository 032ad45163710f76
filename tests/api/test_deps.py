"""Who calls, as the audit record names them."""

from typing import Any

import pytest
from starlette.requests import Request

from appliance.api.deps import caller_of
from appliance.errors import Unauthenticated
from appliance.types import Principal


def request(headers: dict[str, str] | None = None, **state: Any) -> Request:
    pairs = [(k.encode(), v.encode("latin-1")) for k, v in (headers or {}).items()]
    return Request(
        {"type": "http", "path": "/v1/x", "headers": pairs, "client": ("10.0.0.7", 5)}
        | {"state": state}
    )  # fmt: skip


def test_a_caller_has_the_key_the_address_and_the_route() -> None:
    principal = Principal("id", "app")
    caller = caller_of(request(principal=principal, request_id="req-1"))
    assert (caller.principal, caller.request_id) == (principal, "req-1")
    assert (caller.ip, caller.route, caller.retry) == ("10.0.0.7", "/v1/x", 0)


@pytest.mark.parametrize(
    ("value", "count"), [("2", 2), ("0", 0), ("", 0), ("-1", 0), ("x", 0), ("9" * 99, 0), ("²", 0)]
)
def test_the_retry_count_is_a_small_number_or_nothing(value: str, count: int) -> None:
    header = {"x-stainless-retry-count": value}
    made = request(header, principal=Principal("id", "app"), request_id="r")
    assert caller_of(made).retry == count


def test_a_request_that_passed_no_gate_has_no_caller() -> None:
    with pytest.raises(Unauthenticated):
        caller_of(request(request_id="r"))
