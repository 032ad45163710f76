"""Entries as syslog messages (RFC 5424) and as CEF. Pure.

Rules: HOSTNAME is the name of the log. Every message has the sequence number and the leaf hash, so
that a receiver notices a repeat or a gap.

Sources: RFC 5424; ArcSight Common Event Format, version 26.
"""

from typing import Final

from appliance.audit.entry import END_USER, LogEntry
from appliance.clock import iso
from appliance.types import Json

EXAMPLES: Final = 32_473
"""The private enterprise number for examples (RFC 5612), until a site states its own."""
_NAMES: Final = ("request_id", "key_id", "model", "status", "actor", "action", *END_USER)
_CEF: Final = {
    "request_id": "cs2", "key_id": "suid", "app": "suser", "actor": "duser", "model": "cs3",
    "status": "outcome", "action": "act", "ip": "src", "end_user": "cs4", "end_user_from": "cs5",
}  # fmt: skip
_FAILED: Final = frozenset({"error", "unknown"})


def syslog(entry: LogEntry, origin: str, enterprise: int = EXAMPLES, text: str = "") -> str:
    """One message: local0.notice, the facts as structured data, then `text`."""
    pairs = {"seq": entry.seq, "leaf": entry.leaf.hex()}
    pairs |= {name: entry.body[name] for name in _NAMES if entry.body.get(name) is not None}
    data = " ".join(f'{name}="{_parameter(value)}"' for name, value in pairs.items())
    head = f"<133>1 {iso(entry.time_us)} {origin} appliance - {entry.kind}"
    return f"{head} [entry@{enterprise} {data}]" + (f" {text}" if text else "")


def cef(entry: LogEntry, origin: str) -> str:
    """One event in the Common Event Format."""
    body = entry.body
    severity = 5 if body.get("status") in _FAILED or "code" in body else 2
    name = f"{entry.kind} {body.get('action', '')}".strip()
    head = "|".join(
        _line(text).replace("\\", "\\\\").replace("|", "\\|")
        for text in ("CEF:0", "appliance", "appliance", "1", entry.kind, name, str(severity))
    )
    pairs: dict[str, Json] = {
        "rt": entry.time_us // 1_000, "dvchost": origin, "externalId": entry.seq,
        "cs1Label": "leaf", "cs1": entry.leaf.hex(),
    }  # fmt: skip
    pairs |= {to: body[name] for name, to in _CEF.items() if body.get(name) not in (None, "")}
    labels = {"cs2": "request", "cs3": "model", "cs4": "endUser", "cs5": "endUserFrom"}
    pairs |= {f"{key}Label": label for key, label in labels.items() if key in pairs}
    said = " ".join(f"{key}={_value(value)}" for key, value in pairs.items())
    return f"{head}|{said}"


def _line(text: object) -> str:
    said = str(text)
    return said if said.isprintable() else "".join(c if c.isprintable() else " " for c in said)


def _parameter(value: object) -> str:
    return _line(value).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _value(value: object) -> str:
    return _line(value).replace("\\", "\\\\").replace("=", "\\=")
