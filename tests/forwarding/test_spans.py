"""Spans of answers: from the log, to a collector that reads them with OpenTelemetry's own code."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from appliance.audit.log import Draft
from appliance.audit.reader import LogReader
from appliance.clock import FixedClock
from appliance.config import ForwardConfig, parse_config
from appliance.errors import UsageError
from appliance.forwarding.messages import outgoing
from appliance.forwarding.receivers import open_receiver
from appliance.forwarding.spans import spans_of
from appliance.types import Json, JsonValue
from tests.audit.logs import ANSWER, ORIGIN, PROMPT, intent, new_log, open_log
from tests.forwarding.test_receivers import collector
from tests.oracle import Oracle, otlp_python

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED: dict[str, Json] = {
    "app": "maintenance", "route": "/v1/chat/completions",
    "params": {"temperature": "0.7", "top_p": "1.0", "max_tokens": 64},
}  # fmt: skip


def traced(flags: str = "01") -> dict[str, Json]:
    return {"client": {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}, **ASKED}


def ended(seq: int, request: str, **more: Json) -> Draft:
    fields: dict[str, Json] = {
        "intent": seq, "request_id": request, "model": "m1", "status": "ok", "finish": "stop",
        "prompt_tokens": 12, "completion_tokens": 5, "queued_us": 10, "ttft_us": 40_000, **more,
    }  # fmt: skip
    return Draft("outcome", fields, {"completion": ANSWER})


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[LogReader]:
    new_log(tmp_path / "log")
    with open_log(tmp_path / "log") as log:
        asked = [
            log.append(intent("r1", PROMPT, **traced())).result(),
            log.append(intent("r2", PROMPT, **ASKED)).result(),
            log.append(intent("r3", PROMPT, **ASKED)).result(),
            log.append(intent("r4", PROMPT, **traced("00"))).result(),
        ]
        for number, (receipt,) in enumerate(asked, 1):
            more: dict[str, Json] = {}
            if number == 3:
                more = {"status": "error", "code": "worker_lost", "finish": None}
            log.append(ended(receipt.seq, f"r{number}", **more)).result()
    made = LogReader(tmp_path / "log")
    yield made
    made.close()


def took(reader: LogReader, request: int) -> int:
    """Microseconds from an intent to its outcome, by the clock that nobody sets."""
    times = [reader.entry(seq).body["mono_us"] for seq in (request, request + 4)]
    assert isinstance(times[0], int) and isinstance(times[1], int)
    return times[1] - times[0]


def encoded(reader: LogReader, first: int = 0) -> bytes:
    return spans_of(reader)(outgoing(reader.range(first, 99), ORIGIN, "spans"))


def test_opentelemetry_reads_the_spans_that_a_collector_gets(reader: LogReader) -> None:
    got: list[bytes] = []
    with collector(200, got) as to:
        config = ForwardConfig(to=to, format="spans")
        receiver = open_receiver(config, 4711, Path(), reader)
        receiver.send(outgoing(reader.range(0, 99), ORIGIN, "spans"))
        receiver.send(outgoing(reader.range(0, 1), ORIGIN, "spans"))  # no answer ends there
        receiver.close()
    (body,) = got
    oracle = Oracle("otlp.py", otlp_python())
    try:
        found = oracle.ask(request=json.loads(body))["spans"]
    finally:
        oracle.close()
    first, second, third = found  # the fourth is of a trace that its client does not sample
    assert (first["trace"], first["parent"]) == (TRACE, PARENT)
    assert second["parent"] == "" and second["trace"] not in (TRACE, third["trace"])
    assert [one["name"] for one in found] == ["chat m1"] * 3 and first["kind"] == 2
    assert [one["error"] for one in found] == [False, False, True]
    assert [one["nanoseconds"] for one in found] == [1_000 * took(reader, n) for n in (1, 2, 3)]
    told = first["attributes"]
    assert told["gen_ai.usage.input_tokens"] == {"intValue": "12"}
    assert told["gen_ai.usage.output_tokens"] == {"intValue": "5"}
    assert told["gen_ai.request.temperature"] == {"doubleValue": 0.7}
    assert told["gen_ai.response.finish_reasons"]["arrayValue"]["values"] == [
        {"stringValue": "stop"}
    ]
    assert told["audit.leaf"]["stringValue"][:16] == first["id"]
    assert third["attributes"]["error.type"] == {"stringValue": "worker_lost"}
    assert "error.type" not in told and "gen_ai.response.finish_reasons" not in third["attributes"]
    assert PROMPT not in body and ANSWER not in body


def test_a_span_that_comes_again_is_the_same_also_without_its_beginning_in_the_batch(
    reader: LogReader,
) -> None:
    def spans(body: bytes) -> Sequence[JsonValue]:
        (resource,) = json.loads(body)["resourceSpans"]
        found: list[JsonValue] = resource["scopeSpans"][0]["spans"]
        return found

    assert spans(encoded(reader)) == spans(encoded(reader, first=5)) != []
    assert encoded(reader, first=reader.size) == b""


def test_a_clock_that_went_back_makes_no_span_that_ends_before_it_begins(tmp_path: Path) -> None:
    new_log(tmp_path / "log")
    clock = FixedClock()
    with open_log(tmp_path / "log", clock=clock) as log:
        (receipt,) = log.append(intent("r1", PROMPT, **ASKED)).result()
        clock.advance(-3_600)
        log.append(ended(receipt.seq, "r1")).result()
    reader = LogReader(tmp_path / "log")
    (resource,) = json.loads(encoded(reader))["resourceSpans"]
    reader.close()
    (one,) = resource["scopeSpans"][0]["spans"]
    assert 0 <= int(one["endTimeUnixNano"]) - int(one["startTimeUnixNano"]) < 600_000_000_000


def test_spans_go_to_a_collector_and_to_no_syslog_receiver() -> None:
    made = parse_config('[forward.traces]\nto = "http://127.0.0.1:1/v1/traces"\nformat = "spans"')
    assert made.forward["traces"].format == "spans"
    with pytest.raises(UsageError, match="collector"):
        parse_config('[forward.traces]\nto = "tcp://127.0.0.1:1"\nformat = "spans"')
