"""Entries as OCSF events: API Activity with the profiles `ai_operation` and `record_integrity`.

Rules: the `attestation` is the SHA-256 of the event's canonical form (RFC 8785) without it, and
`prev_event` names the event before, so that a change or a gap in the export shows. It is unsigned:
an entry is proved by its leaf hash; both hashes of the log and the body are under `unmapped`.

Source: OCSF 1.9.0, class 6003, profiles/{ai_operation,record_integrity}.json, objects/{attestation,
prev_event,fingerprint,message_context}.json.
"""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final

import msgspec

from appliance.audit.entry import LogEntry
from appliance.types import CLAIM, Json, JsonValue

VERSION: Final = "1.9.0"
PROFILES: Final = ("ai_operation", "record_integrity")
_CLASS: Final = 6003
_CREATE, _READ, _OTHER = 1, 2, 99
_SHA256: Final = 3
_OUTCOMES: Final = {"ok": ("Success", 1), "error": ("Failure", 2), "unknown": ("Unknown", 0)}
_CANONICAL: Final = msgspec.json.Encoder(order="sorted")


def events(found: Iterator[LogEntry], origin: str) -> Iterator[str]:
    """One line per entry of the log `origin`."""
    previous: dict[str, JsonValue] | None = None
    for entry in found:
        event = _event(entry)
        attestation: dict[str, JsonValue] = {
            "uid": f"{origin}/{entry.seq}",
            "authority_uid": origin,
            "chain_uid": origin,
        }
        if previous is not None:
            attestation["prev_event"] = previous
        event["attestation"] = attestation
        fingerprint: dict[str, JsonValue] = {
            "algorithm": "SHA-256",
            "algorithm_id": _SHA256,
            "value": sha256(_CANONICAL.encode(event)).hexdigest(),
        }
        attestation["fingerprint"] = fingerprint
        previous = {
            "uid": str(entry.seq), "type_uid": event["type_uid"], "fingerprint": fingerprint,
        }  # fmt: skip
        yield _ascii(_CANONICAL.encode(event)) + "\n"


def _ascii(canonical: bytes) -> str:
    """The same document without a character that a transport may not take."""
    if canonical.isascii() and b"\x7f" not in canonical:
        return canonical.decode()
    return json.dumps(json.loads(canonical), separators=(",", ":"))


def _event(entry: LogEntry) -> dict[str, JsonValue]:
    body = entry.body
    activity = {"intent": _CREATE, "outcome": _READ}.get(entry.kind, _OTHER)
    event: dict[str, JsonValue] = {
        "category_uid": 6,
        "class_uid": _CLASS,
        "activity_id": activity,
        "type_uid": _CLASS * 100 + activity,
        "severity_id": 1,
        "time": entry.time_us // 1_000,
        "actor": _actor(body),
        "api": {"operation": entry.kind, "request": {"uid": body.get("request_id", "")}},
        "src_endpoint": {"ip": body.get("ip", "")},
        "metadata": {
            "version": VERSION,
            "uid": str(entry.seq),
            "sequence": entry.seq,
            "profiles": list(PROFILES),
            "product": {"name": "appliance", "vendor_name": "appliance"},
        },
        "unmapped": {"body": dict(body), "leaf": entry.leaf.hex(), "prev": body["prev"]},
    }
    if "status" in body:
        event["status"], event["status_id"] = _OUTCOMES.get(str(body["status"]), ("Other", 99))
        event["status_code"] = body["status"]
    if "model" in body:
        event["ai_model"] = {"name": body["model"], "ai_provider": "appliance"}
    if entry.kind in ("intent", "outcome"):
        event["message_context"] = {
            "application": {"name": body.get("app", "")},
            "service": {"name": "appliance"},
            **{n: body[n] for n in ("prompt_tokens", "completion_tokens") if n in body},
        }
    return event


def _actor(body: Mapping[str, Json]) -> dict[str, JsonValue]:
    """The person where one is verified, else the key; a claim stays in the body alone."""
    key, source = body.get("key_id"), body.get("end_user_from", CLAIM)
    if source == CLAIM:
        return {"user": {"uid": key or body.get("actor") or "appliance"}}
    user: dict[str, JsonValue] = {"uid": body.get("end_user"), "domain": source}
    if "actor" in body:
        return {"user": {**user, "name": body["actor"]}}
    if isinstance(groups := body.get("end_user_groups"), list):
        user["groups"] = [{"name": name} for name in groups]
    return {"user": user, "app_uid": key, "app_name": body.get("app")}
