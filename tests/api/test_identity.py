"""The names that a client gave a request come back, and reach the log and the audit entry."""

import logging

import pytest

from appliance.api.identity import named_by_client, told_back
from appliance.observability.log_lines import JsonLines
from appliance.types import ClientIds
from tests.api.conftest import Lan

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SENT = {"x-request-id": "proxy-7", "x-client-request-id": "app:42", "traceparent": TRACE}


async def test_names_are_in_header_log_line_and_audit_entry(
    lan: Lan, chat_body: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "appliance.access")
    reply = await lan.client.post("/v1/chat/completions", json=chat_body, headers=SENT)
    assert reply.headers["x-request-id"].startswith("req-")
    assert reply.headers["x-client-request-id"] == "app:42"
    assert reply.headers["traceparent"] == TRACE
    ((caller, _),) = lan.inference.requests
    assert caller.client == ClientIds("proxy-7", "app:42", TRACE)
    line = JsonLines().format(caplog.records[-1])
    assert all(f'"{value}"' in line for value in (*SENT.values(), caller.request_id))


async def test_a_refusal_tells_them_back_too(lan: Lan) -> None:
    async with lan.anonymous(**{"x-request-id": "proxy-7"}) as client:
        reply = await client.get("/v1/models")
    assert (reply.status_code, reply.headers["x-client-request-id"]) == (401, "proxy-7")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-request-id", "a b"), ("x-request-id", "x" * 129), ("x-request-id", ""),
        ("x-client-request-id", "a\x00b"), ("x-client-request-id", "<script>"),
        ("x-client-request-id", "é"), ("traceparent", TRACE[:-1]),
        ("traceparent", "ff" + TRACE[2:]), ("traceparent", TRACE.replace("4bf9", "4BF9")),
        ("traceparent", "00-" + "0" * 32 + TRACE[35:]),
    ],
)  # fmt: skip
def test_what_is_no_plain_id_is_left_out(name: str, value: str) -> None:
    assert named_by_client([(name.encode(), value.encode())]) == ClientIds()


def test_a_name_that_came_twice_is_none() -> None:
    pair = (b"x-request-id", b"a")
    assert named_by_client([pair, pair]) == ClientIds()
    assert named_by_client([pair]) == ClientIds("a")


def test_the_id_of_the_client_is_told_before_that_of_a_proxy() -> None:
    assert told_back(ClientIds("a", "b")) == [(b"x-client-request-id", b"b")]
    assert told_back(ClientIds("a")) == [(b"x-client-request-id", b"a")]
    assert told_back(ClientIds()) == []
