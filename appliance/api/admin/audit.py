"""Routes of the audit log: read, search, prove, verify.

Rules: reading decrypted prompts and answers takes an admin and is itself recorded before they
leave; everything else shows bodies only.
"""

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import Path, Query, Response
from fastapi.responses import StreamingResponse

from appliance.api.admin.deps import Person, PersonDep, Routes, ServicesDep, demand
from appliance.api.admin.stream import stream_job
from appliance.api.admin.times import microseconds
from appliance.app import Services
from appliance.audit.cosignature import witness_key
from appliance.audit.entry import Draft, LogEntry
from appliance.audit.search import Query as EntrySearch
from appliance.clock import iso
from appliance.governance.log_jobs import verified
from appliance.people.names import cleaned
from appliance.types import Report, Role
from appliance.wire.admin import models as wire
from appliance.wire.admin.results import LogVerified

router = Routes()
WitnessKey = Annotated[str, Query(max_length=1_000)]
Seq = Annotated[int, Path(ge=0, lt=1 << 53)]


@router.serves(wire.AUDIT_VERIFY)
async def verify(
    person: PersonDep, services: ServicesDep, wanted: wire.VerifyRange
) -> StreamingResponse:
    """Check the log; the answer is a stream of JSON lines."""
    live = await services.jobs.start("verify", wanted.model_dump(), person.actor)
    return stream_job(services.jobs, live, LogVerified, _verification)


@router.serves(wire.AUDIT_TAIL)
def tail(
    services: ServicesDep, count: Annotated[int, Query(ge=1, le=1_000)] = 20
) -> wire.EntryList:
    """The newest entries, oldest of them first."""
    return wire.EntryList(entries=[entry_of(entry) for entry in services.reader.tail(count)])


@router.serves(wire.AUDIT_ENTRIES)
def search(
    person: PersonDep, services: ServicesDep, query: Annotated[wire.EntryQuery, Query()]
) -> wire.EntryList:
    """One page of the entries that match every condition."""
    query = _pseudonym(person, services, query)
    newest_first = query.order == "newest"
    wanted = EntrySearch(
        **query.model_dump(exclude={"since", "until", "order"}),
        since_us=None if query.since is None else microseconds(query.since, "since"),
        until_us=None if query.until is None else microseconds(query.until, "until"),
        newest_first=newest_first,
    )
    page = services.reader.search(wanted)
    return wire.EntryList(
        entries=[entry_of(entry) for entry in page.entries],
        next_after=None if newest_first else page.resume,
        next_before=page.resume if newest_first else None,
    )


def _pseudonym(person: Person, services: Services, query: wire.EntryQuery) -> wire.EntryQuery:
    """The query with a name as the log has it. Trying names reveals whose pseudonym is whose: that
    takes an admin, and is recorded.
    """
    aliases, asked = services.end_users.aliases, query.end_user
    if asked is None or not aliases.resolves(asked):
        return query
    demand(person, Role.ADMIN)
    alias = aliases.of(cleaned(asked))
    services.audit.append(Draft.deed("person_search", person.actor, about=alias)).result()
    return query.model_copy(update={"end_user": alias})


@router.serves(wire.AUDIT_ENTRY)
def show(person: PersonDep, services: ServicesDep, seq: Seq, content: bool = False) -> wire.Entry:
    """One entry; with `content` the texts that belong to it, for admins."""
    entry = services.reader.entry(seq)
    shown = entry_of(entry)
    if not content:
        return shown
    demand(person, Role.ADMIN)
    return shown.model_copy(update={"content": _contents(services, person, entry)})


@router.serves(wire.AUDIT_PROOF)
def prove(services: ServicesDep, seq: Seq, witness: WitnessKey | None = None) -> Response:
    """A proof of one entry that needs nothing but the genesis key, or a witness's, to check."""
    key = None if witness is None else witness_key(witness.encode())
    return Response(services.reader.proof(seq, key), media_type="text/plain")


@router.serves(wire.AUDIT_CHECKPOINT)
def checkpoint(services: ServicesDep) -> Response:
    """The newest signed head."""
    return Response(services.reader.checkpoint(), media_type="text/plain")


@router.serves(wire.AUDIT_CONSISTENCY)
def consistency(services: ServicesDep, older: wire.OlderHead) -> Response:
    """A proof that the log begins with what an older checkpoint has seen."""
    return Response(services.reader.consistency(older.note.encode()), media_type="text/plain")


@router.serves(wire.WITNESS_REQUEST)
def witness_request(services: ServicesDep, witness: WitnessKey) -> Response:
    """Answer with the checkpoint for a witness to cosign."""
    request = services.reader.witness_request(witness_key(witness.encode()))
    return Response(request, media_type="text/plain")


@router.serves(wire.WITNESS)
def witness(person: PersonDep, services: ServicesDep, answer: wire.WitnessAnswer) -> wire.Entry:
    """Record what a witness cosigned."""
    key = witness_key(answer.key.encode())
    draft = services.reader.witnessed(answer.note.encode(), key, person.actor)
    (receipt,) = services.audit.append(draft).result()
    return entry_of(services.reader.entry(receipt.seq))


@router.serves(wire.ERASE)
def erase(person: PersonDep, services: ServicesDep, wanted: wire.Erasure) -> wire.Erased:
    """Erase the texts of a request wherever they are; the log still verifies."""
    done = services.erasure.erase(wanted.request_id, person.actor, wanted.reason)
    return wire.Erased(
        entry=entry_of(services.reader.entry(done.seq)),
        places=dict(done.places),
        backups=[
            wire.HoldingBackup(time=one.time.isoformat(), file=one.file) for one in done.backups
        ],
        datasets=list(done.datasets),
    )


def _contents(services: Services, person: Person, entry: LogEntry) -> dict[str, str]:
    kept = entry.body.get("content")
    parts = kept.get("parts") if isinstance(kept, dict) else None
    if not isinstance(parts, dict):
        return {}
    texts = {name: services.reader.content(entry.seq, name) for name in sorted(parts)}
    services.audit.append(Draft.deed("content_read", person.actor, entry=entry.seq)).result()
    return {name: text.decode(errors="replace") for name, text in texts.items()}


def entry_of(entry: LogEntry) -> wire.Entry:
    """An entry in its schema."""
    return wire.Entry(
        seq=entry.seq,
        kind=entry.kind,
        time=iso(entry.time_us),
        leaf=entry.leaf.hex(),
        prev=str(entry.body["prev"]),
        body=dict(entry.body),
    )


def verification(data: FilePath, wanted: wire.VerifyRange, report: Report) -> wire.Verification:
    """Check a log; needs only its files."""
    return _verification(verified(data / "audit", wanted, report))


def _verification(found: LogVerified) -> wire.Verification:
    return wire.Verification.model_validate(found.document)
