"""The rows of `appliance.db` as facts, and the writes that make a row as strict as its entries.

Rules: only this module reads the tables of others, by their SQL; `mend` never writes a permission.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from sqlalchemy import Connection, RowMapping, text

from appliance.db import sealed_columns
from appliance.governance.log_state import (
    RANKS,
    ProvenFacts,
    State,
    UnprovenRow,
    Value,
    Values,
    label,
)
from appliance.jobs import store as jobs
from appliance.registry.audit_entries import facts_digest

Bound: TypeAlias = dict[str, Value | bytes]
"""The parameters of a statement, by name."""
_HASHES: Final = ("secret_sha256", "old_sha256")
_NOTHING: Final = hashlib.sha256(b"").hexdigest()
_LIMITS: Final = ("rpm", "tpm", "concurrency", "weight", "priority")


def read(connection: Connection) -> State:
    """All rows that entries prove, as of one transaction."""
    return {
        "api_keys": {row["id"]: _key(row) for row in _all(connection, "api_keys")},
        "key_groups": _named(connection, "key_groups", "name", "key_id"),
        "models": {row["id"]: _model(row) for row in _all(connection, "models")},
        "model_approvals": _named(connection, "model_approvals", "model", "key", "envelope"),
        "looks": _looks(connection),
        "certificates": _certificates(connection, "certificates", "task_digest"),
        "route_certificates": _certificates(connection, "route_certificates", "route_digest"),
        "route_suspensions": _named(connection, "route_suspensions", "certificate"),
        "task_pointers": _pointers(connection),
        "upstream_fingerprints": _named(connection, "upstream_fingerprints", "name", "fingerprint"),
        "upstream_approvals": _named(connection, "upstream_approvals", "digest", "key", "envelope"),
        "labels": {
            label(row["queue"], row["item"], row["rater"], row["together"]): ProvenFacts()
            for row in _all(connection, "labels")
        },
        "jobs": {str(row["id"]): _job(row) for row in _all(connection, "jobs")},
    }


def mend(connection: Connection, found: Iterable[UnprovenRow], now_us: int) -> None:
    """Withdraw in the rows what the log withdraws, as far as it says enough."""
    for one in found:
        values: Bound = {"subject": one.subject, "at": now_us, **one.facts.extra}
        owner, _, member = one.subject.rpartition("/")
        values |= {"owner": owner, "member": member}
        for sql in _mending(one, values):
            connection.execute(text(sql), values)


def _mending(one: UnprovenRow, values: Bound) -> tuple[str, ...]:
    facts = one.facts
    if one.what == "absent" or (one.what == "lost" and one.table != "route_suspensions"):
        return ()
    match one.table:
        case "api_keys" if one.what == "edited":
            return _restored(facts, values)
        case "api_keys":
            return ("UPDATE api_keys SET revoked_us = :at WHERE id = :subject",)
        case "key_groups":
            return ("DELETE FROM key_groups WHERE name = :owner AND key_id = :member",)
        case "models":
            suspended = facts.rank < 3
            values["state"] = "suspended" if suspended else facts.extra["state"]
            values["round"] = facts.round + suspended
            values |= {name: facts.extra.get(name) for name in ("code", "message")}
            return (
                "UPDATE models SET state = :state, round = max(round, :round),"
                " code = coalesce(:code, code), message = coalesce(:message, message)"
                " WHERE id = :subject",
            )
        case "model_approvals":
            return ("DELETE FROM model_approvals WHERE model = :owner AND key = :member",)
        case "upstream_approvals":
            return ("DELETE FROM upstream_approvals WHERE digest = :owner AND key = :member",)
        case "upstream_fingerprints":
            return ("DELETE FROM upstream_fingerprints WHERE name = :subject",)
        case "route_suspensions":
            return ("INSERT INTO route_suspensions VALUES (:subject, :reason, :time_us)",)
        case "certificates" | "route_certificates":
            return (f"DELETE FROM {one.table} WHERE id = :subject",)  # noqa: S608 - our own word
        case "looks":
            names = ("verdict", "certificate", "exported")
            said = {n: facts.values[n] for n in names if n in facts.values}
            values |= said
            changed = ", ".join(f"{name} = :{name}" for name in said)
            return (f"UPDATE looks SET {changed} WHERE id = :subject",) if said else ()  # noqa: S608
        case "task_pointers" if "envelope" in facts.extra:
            envelope = str(facts.extra["envelope"]).encode()
            values |= {"id": facts.values["newest"], "envelope": envelope}
            return (
                "INSERT INTO task_pointers SELECT :subject, coalesce(max(position), 0) + 1, :id,"
                " :envelope FROM task_pointers WHERE name = :subject",
            )
        case "jobs":
            return ("UPDATE jobs SET checkpoint = NULL WHERE id = :subject AND result IS NULL",)
        case _:
            return ()


def _restored(facts: ProvenFacts, values: Bound) -> tuple[str, ...]:
    said = dict(facts.values)
    if isinstance(limits := said.pop("limits", {}), dict):
        values |= limits
    for name, column in (("certificate", "certificate_sha256"), *((n, n) for n in _HASHES)):
        if name in said:
            found = said.pop(name)
            values[column] = None if found is None else bytes.fromhex(str(found))
    if "models" in said:
        said["models"] = json.dumps(said["models"])
    values |= said
    columns = values.keys() - {"subject", "owner", "member", "at"}
    changed = ", ".join(f"{column} = :{column}" for column in sorted(columns))
    return (f"UPDATE api_keys SET {changed} WHERE id = :subject",)  # noqa: S608 - our own words


def _all(connection: Connection, table: str) -> Sequence[RowMapping]:
    sql = f"SELECT * FROM {table}"  # noqa: S608 - our own word
    return connection.execute(sealed_columns(sql, *jobs.JOBS.c)).mappings().all()


def _named(connection: Connection, table: str, *names: str) -> dict[str, ProvenFacts]:
    """Rows by one or two columns; a further one is compared by its digest."""
    blob = names[-1] if names[-1] in ("envelope", "fingerprint") else ""
    return {
        "/".join(str(row[name]) for name in names if name != blob): ProvenFacts(
            values={f"{blob}_sha256": _sha256(bytes(row[blob]))} if blob else {}
        )
        for row in _all(connection, table)
    }


def _certificates(connection: Connection, table: str, owner: str) -> dict[str, ProvenFacts]:
    return {
        row["id"]: ProvenFacts(
            values={"envelope_sha256": _sha256(bytes(row["envelope"]))},
            extra={"digest": row[owner]},
        )
        for row in _all(connection, table)
    }


def _key(row: RowMapping) -> ProvenFacts:
    certificate = row["certificate_sha256"]
    values = {
        **{n: row[n] for n in ("name", "role", "expires_us", "old_until_us", "content")},
        "models": json.loads(row["models"]),
        "limits": {name: row[name] for name in _LIMITS},
        "certificate": None if certificate is None else bytes(certificate).hex(),
        "examples": bool(row["examples"]),
        "tasks_only": bool(row["tasks_only"]),
        "person": bool(row["person"]),
        "secret_sha256": bytes(row["secret_sha256"]).hex(),
        "old_sha256": None if row["old_sha256"] is None else bytes(row["old_sha256"]).hex(),
    }
    return ProvenFacts(int(row["revoked_us"] is not None), values)


def _model(row: RowMapping) -> ProvenFacts:
    values: Values = {"round": row["round"]}
    if row["state"] in ("verified", "approved", "suspended"):
        values["facts_sha256"] = facts_digest(json.loads(row["facts"]))
    if row["digest"] is not None:
        values["digest"] = row["digest"]
    return ProvenFacts(RANKS[row["state"]], values, extra={"state": row["state"]})


def _looks(connection: Connection) -> dict[str, ProvenFacts]:
    marks = _listed(connection, "look_marks", "mark")
    items = _listed(connection, "look_items", "mark || ' ' || item")
    names = (
        "job", "person", "task", "task_digest", "dataset", "dataset_digest", "split", "entry",
        "verdict", "certificate", "share_micros", "exported",
    )  # fmt: skip
    return {
        row["id"]: ProvenFacts(
            values={
                **{name: row[name] for name in names},
                "groups_sha256": marks.get(row["id"], _NOTHING),
                "items_sha256": items.get(row["id"], _NOTHING),
            }
        )
        for row in _all(connection, "looks")
    }


def _listed(connection: Connection, table: str, line: str) -> dict[str, str]:
    """SHA-256 of the sorted lines of each look, by SQLite, since there are millions."""
    lines = f"group_concat({line}, char(10) ORDER BY {line})"
    sql = f"SELECT look, {lines} FROM {table} GROUP BY look"  # noqa: S608 - our own words
    return {str(look): _sha256(found.encode()) for look, found in connection.execute(text(sql))}


def _pointers(connection: Connection) -> dict[str, ProvenFacts]:
    rows = sorted(_all(connection, "task_pointers"), key=lambda row: int(row["position"]))
    return {
        row["name"]: ProvenFacts(
            values={"newest": row["id"], "envelope_sha256": _sha256(bytes(row["envelope"]))}
        )
        for row in rows
    }


def _job(row: RowMapping) -> ProvenFacts:
    values: Values = {}
    if row["result"] is not None:
        values["result_sha256"] = _sha256(row["result"].encode())
    elif row["checkpoint"] is not None:
        values["checkpoint_sha256"] = _sha256(row["checkpoint"].encode())
    return ProvenFacts(values=values)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
