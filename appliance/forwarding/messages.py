"""Messages of entries for receivers. Pure.

Rules: one message for one entry, with its sequence number and leaf hash; no texts.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.audit import ocsf
from appliance.audit.entry import LogEntry
from appliance.audit.syslog import cef, syslog
from appliance.types import JsonValue

Format = Callable[[Iterable[LogEntry], str], Iterator[str]]


@dataclass(frozen=True)
class OutgoingEntry:
    """One entry on its way; `text`: its body for the receiver, in one line."""

    entry: LogEntry
    text: str


def _events(found: Iterable[LogEntry], origin: str) -> Iterator[str]:
    return (line.rstrip("\n") for line in ocsf.events(iter(found), origin))


BODIES: Final[Mapping[str, Format]] = {
    "ocsf": _events,
    "cef": lambda found, origin: (cef(entry, origin) for entry in found),
    "plain": lambda found, origin: ("" for _ in found),
    "spans": lambda found, origin: ("" for _ in found),
}
"""The body of a message by the name of its format; "plain" and "spans" have none."""


def outgoing(found: Sequence[LogEntry], origin: str, form: str) -> list[OutgoingEntry]:
    """The messages of consecutive entries, in order."""
    return [
        OutgoingEntry(entry, text)
        for entry, text in zip(found, BODIES[form](found, origin), strict=True)
    ]


def syslog_frames(messages: Sequence[OutgoingEntry], origin: str, enterprise: int) -> bytes:
    """Messages as octet-counted frames (RFC 5425)."""
    said = (syslog(one.entry, origin, enterprise, one.text).encode() for one in messages)
    return b"".join(b"%d %b" % (len(one), one) for one in said)


def otlp_logs(messages: Sequence[OutgoingEntry], origin: str) -> bytes:
    """Messages as one ExportLogsServiceRequest in JSON (OTLP 1.5)."""
    records = [
        {
            "timeUnixNano": str(one.entry.time_us * 1_000),
            "severityNumber": 9,
            "severityText": "INFO",
            "eventName": f"appliance.audit.{one.entry.kind}",
            "body": {"stringValue": one.text},
            "attributes": attributes(_facts(one.entry)),
        }
        for one in messages
    ]
    resource = attributes({"service.name": "appliance", "host.name": origin})
    scope = {"scope": {"name": "appliance.audit"}, "logRecords": records}
    logs = {"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [scope]}]}
    return json.dumps(logs, separators=(",", ":")).encode()


def _facts(entry: LogEntry) -> dict[str, JsonValue]:
    names = ("request_id", "key_id", "model", "status", "actor", "action")
    facts: dict[str, JsonValue] = {"audit.seq": str(entry.seq), "audit.leaf": entry.leaf.hex()}
    return facts | {f"audit.{n}": str(entry.body[n]) for n in names if entry.body.get(n)}


def attributes(facts: Mapping[str, JsonValue]) -> list[JsonValue]:
    """Facts as OTLP writes them: each value with its type, whole numbers as text."""
    return [{"key": key, "value": _typed(value)} for key, value in facts.items()]


def _typed(value: JsonValue) -> dict[str, JsonValue]:
    match value:
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_typed(each) for each in value]}}
        case _:
            return {"stringValue": str(value)}
