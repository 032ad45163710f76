"""Spans of answers for a collector of traces, derived from the log. Pure but for the reader.

Rules: a span is an intent and its outcome, without texts. It is a child of the client's span; a
trace that its client does not sample gets none, and without a `traceparent` an answer is a trace of
its own. A span that is sent again has the same ids.

Sources: OTLP 1.5; W3C Trace Context; OpenTelemetry's conventions for generative AI (`gen_ai.*`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from appliance.audit.entry import LogEntry
from appliance.audit.reader import LogReader
from appliance.errors import NotFound
from appliance.forwarding.messages import OutgoingEntry, attributes
from appliance.types import Json, JsonValue

_OPERATIONS: Final = {
    "chat/completions": "chat", "messages": "chat", "responses": "chat",
    "completions": "text_completion", "embeddings": "embeddings",
}  # fmt: skip
_OTHER: Final = "generate_content"
_SERVER, _ERROR = 2, 2
_SAMPLED, _REMOTE = 1, 0x300
"""Flags: of the trace, and that the parent is known to be of another process."""


class SpanParent(NamedTuple):
    """The client's span, as `traceparent` names it."""

    trace: str
    span: str
    flags: int


def spans_of(reader: LogReader) -> Callable[[Sequence[OutgoingEntry]], bytes]:
    """Makes a request of the spans that end in consecutive entries; b"" for none."""

    def encode(messages: Sequence[OutgoingEntry]) -> bytes:
        near = {one.entry.seq: one.entry for one in messages}
        found = []
        for outcome in near.values():
            intent = _intent(outcome, near, reader)
            if intent is not None and (made := span(intent, outcome)) is not None:
                found.append(made)
        return _request(found, reader.origin) if found else b""

    return encode


def _intent(outcome: LogEntry, near: Mapping[int, LogEntry], reader: LogReader) -> LogEntry | None:
    """The intent of an outcome; None for another entry, or if the intent was pruned."""
    if outcome.kind != "outcome" or not isinstance(seq := outcome.body["intent"], int):
        return None
    try:
        return near.get(seq) or reader.entry(seq)
    except NotFound:
        return None


def span(intent: LogEntry, outcome: LogEntry) -> dict[str, JsonValue] | None:
    """None where the trace is not sampled."""
    asked, ended = intent.body, outcome.body
    parent = _parent(asked)
    if parent is not None and not parent.flags & _SAMPLED:
        return None
    facts = _facts(asked, ended) | {"audit.seq": outcome.seq, "audit.leaf": outcome.leaf.hex()}
    start, end = _times(intent, outcome)
    made: dict[str, JsonValue] = {
        "traceId": parent.trace if parent else sha256(intent.leaf).hexdigest()[:32],
        "spanId": outcome.leaf.hex()[:16],
        "flags": (parent.flags | _REMOTE) if parent else _SAMPLED,
        "name": f"{facts['gen_ai.operation.name']} {asked['model']}",
        "kind": _SERVER,
        "startTimeUnixNano": str(start * 1_000),
        "endTimeUnixNano": str(end * 1_000),
        "attributes": attributes(facts),
    }
    if parent is not None:
        made["parentSpanId"] = parent.span
    if "error.type" in facts:
        made["status"] = {"code": _ERROR}
    return made


def _parent(asked: Mapping[str, Json]) -> SpanParent | None:
    client = asked.get("client")
    said = client.get("traceparent") if isinstance(client, dict) else None
    if not isinstance(said, str):
        return None
    _, trace, parent, flags = said.split("-")[:4]
    return SpanParent(trace, parent, int(flags, 16))


def _times(intent: LogEntry, outcome: LogEntry) -> tuple[int, int]:
    """Both ends in microseconds of the wall clock; setting the clock makes no span longer."""
    begun, ended = intent.body, outcome.body
    took = outcome.time_us - intent.time_us
    now, then = ended["mono_us"], begun["mono_us"]
    if begun["boot_id"] == ended["boot_id"] and isinstance(now, int) and isinstance(then, int):
        took = now - then
    return intent.time_us, intent.time_us + max(0, took)


def _facts(asked: Mapping[str, Json], ended: Mapping[str, Json]) -> dict[str, JsonValue]:
    route = str(asked.get("route", ""))
    operation = (name for end, name in _OPERATIONS.items() if route.endswith(f"/{end}"))
    params, hop = asked.get("params"), asked.get("hop")
    set_to = params if isinstance(params, dict) else {}
    stage = hop if isinstance(hop, dict) else {}
    finish, status = ended.get("finish"), ended["status"]
    facts: dict[str, JsonValue] = {
        "gen_ai.operation.name": next(operation, _OTHER),
        "gen_ai.provider.name": "appliance",
        "gen_ai.request.model": asked["model"],
        "gen_ai.response.model": ended.get("model"),
        "gen_ai.response.id": asked["request_id"],
        "gen_ai.response.finish_reasons": [str(finish)] if finish else None,
        "gen_ai.usage.input_tokens": ended.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": ended.get("completion_tokens"),
        "gen_ai.request.max_tokens": set_to.get("max_tokens"),
        "gen_ai.request.temperature": _decimal(set_to.get("temperature")),
        "gen_ai.request.top_p": _decimal(set_to.get("top_p")),
        "error.type": None if status == "ok" else (ended.get("code") or status),
        "appliance.app": asked.get("app"),
        "appliance.key_id": asked["key_id"],
        "appliance.task": asked.get("task"),
        "appliance.route": stage.get("route"),
        "appliance.stage": stage.get("stage"),
        "appliance.queued_us": ended.get("queued_us"),
        "appliance.ttft_us": ended.get("ttft_us"),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _decimal(said: Json) -> float | None:
    """A decimal number of a body, which holds no floats."""
    return float(said) if isinstance(said, str) else None


def _request(spans: Sequence[Mapping[str, JsonValue]], origin: str) -> bytes:
    """Write an ExportTraceServiceRequest in JSON."""
    resource = {"attributes": attributes({"service.name": "appliance", "host.name": origin})}
    scope = {"scope": {"name": "appliance.audit"}, "spans": spans}
    said = {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}
    return json.dumps(said, separators=(",", ":")).encode()
