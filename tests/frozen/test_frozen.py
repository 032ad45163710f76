"""Today's code reads and writes statements and rows of older code, byte for byte.

`write.py` had it made: by 1055724, the release before, and by 82a17ea6, before statements, facts
and results of jobs became typed.
"""

import base64
import json
import lzma
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2
import pytest
from sqlalchemy import Engine

from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.jobs.kind import dumps
from appliance.jobs.store import JobStore
from appliance.routing import people
from appliance.trust.artifacts.records import ModelRecord, Records
from appliance.trust.bytes import ecdsa, manifest, oms, strict_json
from appliance.trust.policy import policy_document
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import approval, evaluation, route
from appliance.trust.statements.approval import ApprovalSubject, PrunedEntries, UpstreamSubject
from appliance.trust.statements.evaluation import Evaluation
from appliance.trust.statements.pointer import TaskPointer
from appliance.trust.statements.pointers import Pointers
from appliance.trust.statements.route import Calibrated
from appliance.trust.statements.specification import Specification
from appliance.trust.statements.statement import id_of
from appliance.trust.statements.upstream import UpstreamRecord
from appliance.wire.admin.results import FORMS, read
from appliance.wiring.schema import MIGRATIONS
from tests.trust.forge import as_json, new_key

HERE = Path(__file__).parent
COMMITS = ("1055724", "82a17ea6")
KEY = new_key()
PEM = ecdsa.private_pem(KEY)
Line = dict[str, Any]


def lines(file: str) -> Iterator[Line]:
    for line in lzma.decompress((HERE / f"{file}.jsonl.xz").read_bytes()).splitlines():
        yield json.loads(line)


POLICIES = {line["commit"]: line["policy"] for line in lines("policy")}


def policy(line: Line) -> TrustPolicy:
    return policy_document.parse(as_json(POLICIES[line["commit"]]))


def payload(envelope: bytes) -> bytes:
    outer = json.loads(envelope)
    return base64.b64decode(outer.get("dsseEnvelope", outer)["payload"])


def subject(envelope: bytes) -> ApprovalSubject | PrunedEntries:
    """The subject of an approval, from its own words."""
    told = json.loads(payload(envelope))
    named = {each["name"]: each["digest"]["sha256"] for each in told["subject"]}
    if "model" in named:
        number = told["predicate"]["round"]
        return ApprovalSubject(named["model"], named["model.sig"], number, named.get("evaluation"))
    ((name, root),) = named.items()
    before, _, origin = name.removeprefix("entries below ").partition(" of the audit log ")
    return PrunedEntries(origin, int(before), root)


def approved(line: Line, of: Any = None) -> bytes:
    envelope = line["envelope"].encode()
    about = of or subject(envelope)
    given = approval.verify(envelope, policy(line), about)
    time_us = int(datetime.fromisoformat(given.time).timestamp()) * 1_000_000
    return approval.sign(
        about, name=given.name, meaning=given.meaning, time_us=time_us, private_key=PEM
    )


def pointed(line: Line) -> bytes:
    return TaskPointer.verify(line["envelope"].encode(), policy(line)).said.sign(PEM)


def specified(line: Line) -> bytes:
    return Specification.verify(line["envelope"].encode(), policy(line)).said.sign(PEM)


def evaluated(line: Line) -> bytes:
    envelope = line["envelope"].encode()
    found = evaluation.verify(envelope, policy(line))
    inner = as_json(json.loads(payload(envelope))["predicate"]["evaluation"]["specification"])
    return evaluation.sign(inner, found.wanted, found.found, found.circumstances, KEY)


def certified(line: Line) -> bytes:
    envelope = line["envelope"].encode()
    found = route.verify(envelope, policy(line))
    inner = as_json(json.loads(payload(envelope))["predicate"]["specification"])
    signed = route.RouteSpecification.verify(inner, policy(line))
    assert signed.said.payload() == payload(inner)
    return route.certify(signed, found.found, found.circumstances, KEY)


def upstream(line: Line) -> bytes:
    told: Line = {k: tuple(v) if isinstance(v, list) else v for k, v in line["record"].items()}
    digest, identity = told.pop("digest"), told.pop("identity")
    record = UpstreamRecord(**told)
    assert (record.digest, record.identity) == (digest, identity)
    assert json.loads(as_json(record.document())) == line["record"]
    return approved(line, UpstreamSubject.of(record))


def artifact(line: Line) -> bytes:
    bundle = oms.parse_bundle(line["envelope"].encode())
    signer = ecdsa.load_public(line["pem"].encode())
    found = oms.verify(bundle, {bundle.hint: signer})
    told = json.loads(bundle.envelope.payload)
    resources = [(each["name"], each["digest"]) for each in told["predicate"]["resources"]]
    name = told["subject"][0]["name"]
    again = oms.sign(resources, KEY, name, shard_size=found.shard_size)
    assert manifest.parse(payload(again), found.signer) == found
    return again


NEWER: Line = {
    "reach_micros": None, "interval": "", "company": False, "thresholds": [], "effective": None,
    "largest": 0, "unasked": 0,
}  # fmt: skip
"""Members of what a calibration found that 1055724 did not write, and how they are read then."""


def today(kind: str, signed: bytes) -> bytes:
    """The signed payload, with the members that are written since."""
    if kind != "route":
        return signed
    told = json.loads(signed)
    told["predicate"]["found"] = NEWER | told["predicate"]["found"]
    return strict_json.dump(told)


KINDS: dict[str, Callable[[Line], bytes]] = {
    "approval": approved, "pointer": pointed, "specification": specified, "evaluation": evaluated,
    "route": certified, "upstream": upstream, "artifact": artifact,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_envelope_is_read_and_written_as_it_was(kind: str) -> None:
    seen = dict.fromkeys(COMMITS, 0)
    for line in lines(kind):
        seen[line["commit"]] += 1
        assert payload(KINDS[kind](line)) == today(kind, payload(line["envelope"].encode())), line
    assert seen == dict.fromkeys(COMMITS, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_more_is_noticed(kind: str) -> None:
    line = next(lines(kind))
    outer = json.loads(line["envelope"])
    inner = outer.get("dsseEnvelope", outer)
    payload = base64.b64decode(inner["payload"]).replace(b'"predicate":', b'"predicate": ', 1)
    inner["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(Exception, match=r"does not hold|is not that of"):
        KINDS[kind]({**line, "envelope": json.dumps(outer)})


# Rows


def kept(table: str) -> dict[str, list[Line]]:
    """The rows of a table of appliance.db, by commit."""
    found: dict[str, list[Line]] = {}
    for line in lines("rows"):
        if (line["database"], line["table"]) == ("appliance.db", table):
            row = {
                name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
                for name, value in line["row"].items()
            }
            found.setdefault(line["commit"], []).append(row)
    return found


TABLES = sorted({line["table"] for line in lines("rows") if line["database"] == "appliance.db"})


def _model(database: Engine, row: Line) -> None:
    records = Records(database)
    record = records.find(row["id"])
    assert record is not None
    records.save(replace(record, state="refused"))
    records.save(record)


def _approval(database: Engine, row: Line) -> None:
    records = Records(database)
    records.save(ModelRecord(row["model"], "approved"))
    assert row["envelope"] in records.approvals(row["model"])
    records.add_approval(row["model"], row["key"], row["envelope"])


def _deferred(_database: Engine, row: Line) -> None:
    again = people._row(people._item(row))
    assert row.items() <= (again | {"answer": row["answer"]}).items()


def _job(database: Engine, row: Line) -> None:
    job = JobStore(database, FixedClock()).get(row["id"])
    assert (job.params, job.result) == (row["params"], row["result"])
    assert (None if job.checkpoint is None else dumps(job.checkpoint)) == row["checkpoint"]
    if row["result"] is not None and row["kind"] in FORMS:  # else of a kind that tests have
        found = read(row["kind"], json.loads(row["result"]))
        assert type(found) in FORMS[row["kind"]] and dumps(found.document) == row["result"]


def _pointer(database: Engine, row: Line) -> None:
    store = Pointers(database)
    assert row["envelope"] in store.history(row["name"])
    assert TaskPointer.open(row["envelope"]).id == row["id"]


def _route(database: Engine, row: Line) -> None:
    said = Calibrated.open(row["envelope"]).said
    assert id_of(row["envelope"], Calibrated.malformed) == row["id"]
    assert said.about[0].digest.sha256 == row["route_digest"]
    assert today("route", said.payload()) == today("route", payload(row["envelope"]))


def _evaluation(database: Engine, row: Line) -> None:
    opened = Evaluation.open(row["envelope"])
    assert (opened.id, opened.said.about[0].digest.sha256) == (row["id"], row["task_digest"])
    assert opened.said.payload() == payload(row["envelope"])


AGAIN: dict[str, Callable[[Engine, Line], None]] = {
    "models": _model, "model_approvals": _approval, "deferred_items": _deferred, "jobs": _job,
    "task_pointers": _pointer, "route_certificates": _route, "certificates": _evaluation,
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_a_row_is_read_and_written_as_it_was(table: str, tmp_path: Path) -> None:
    for commit, rows in kept(table).items():
        path = tmp_path / f"{commit}.db"
        database = open_database(path, MIGRATIONS)
        connection = pysqlite3.dbapi2.connect(str(path), isolation_level=None)
        for row in rows:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            given = f"INSERT INTO {table} ({names}) VALUES ({marks})"
            connection.execute(given, [*row.values()])
            if table in AGAIN:
                AGAIN[table](database, row)
            here = connection.execute(f"SELECT {names} FROM {table}").fetchall()
            assert here == [tuple(row.values())]
            connection.execute(f"DELETE FROM {table}")
        connection.close()
        database.dispose()


def test_the_tables_of_statements_facts_and_jobs_are_there() -> None:
    assert set(AGAIN) <= set(TABLES)
    assert set(COMMITS) == set(kept("models")) == set(kept("route_certificates"))
    done = {row["kind"] for rows in kept("jobs").values() for row in rows if row["result"]}
    assert done >= {
        "carry", "dataset-check", "evaluation", "export", "gate", "ingest", "load", "route-carry",
        "verify",
    }  # fmt: skip
