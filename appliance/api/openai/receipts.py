"""`GET /v1/receipts/{request_id}`: the evidence of a request, for the app that sent it."""

import re
from typing import Final

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.app import Services
from appliance.audit.entry import LogEntry
from appliance.audit.reader import LogReader
from appliance.errors import AuditRefused, NotFound, Refused
from appliance.retrieval.commitments import TEXT, nonce_of
from appliance.serving import recorded_request
from appliance.serving.answer_numbers import PART
from appliance.wire.openai.receipts import AnsweredBy, EntryRef, Evidence, ReceiptResponse

_REQUEST_ID: Final = re.compile("req-[0-9a-f]{32}")
router = APIRouter(tags=["receipts"])


# A plain function, so that it runs in a thread: it reads the log's database.
@router.get("/v1/receipts/{request_id}")
def receipt(request: Request, caller: CallerDep, request_id: str) -> ReceiptResponse:
    """The entries, an inclusion proof and the newest signed head; 404 for another app's request.

    Of a request that another appliance of the site answered, they are of its log.
    """
    services, key_id = services_of(request), caller.principal.key_id
    try:
        return evidence_of(services, key_id, request_id)
    except NotFound:
        if services.site is None or not _REQUEST_ID.fullmatch(request_id):
            raise
        found = services.site.exchange.receipt(key_id, request_id)
        if found is None:
            raise
        return ReceiptResponse.model_validate_json(found)


def evidence_of(services: Services, key_id: str, request_id: str) -> ReceiptResponse:
    """A request's evidence (`not_found` also for another key's)."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise NotFound("not_found", "This is not the id of a request.")
    reader = services.reader
    intent, outcome = reader.find_request(request_id, key_id)
    proved, mirrors = outcome or intent, services.site and services.site.mirroring
    return ReceiptResponse(
        request_id=request_id,
        intent=EntryRef(seq=intent.seq, leaf=intent.leaf.hex()),
        outcome=EntryRef(seq=outcome.seq, leaf=outcome.leaf.hex()) if outcome else None,
        proof=reader.proof(proved.seq).decode(),
        checkpoint=reader.checkpoint(),
        evidence=_evidence(reader, intent),
        answered_by=_answered_by(outcome),
        replayable=_replayable(reader, intent, outcome),
        mirrored=("yes" if mirrors.has(proved.seq) else "no") if mirrors else None,
        site="stale" if proved.body.get("site") == "stale" else None,
    )


def _replayable(reader: LogReader, intent: LogEntry, outcome: LogEntry | None) -> str | None:
    if intent.kind != "intent":
        return None
    try:
        recorded_request.check(intent.body, None if outcome is None else outcome.body)
        reader.content(intent.seq, "prompt")
        if outcome is not None:
            reader.content(outcome.seq, PART)
    except Refused as error:
        return f"no: {error.message}"
    return "yes"


def _answered_by(outcome: LogEntry | None) -> AnsweredBy | None:
    found = None if outcome is None else outcome.body.get("answered_by")
    return None if found is None else AnsweredBy.model_validate(found)


def _evidence(reader: LogReader, entry: LogEntry) -> Evidence | None:
    """The opened commitments; None where there are none."""
    if entry.kind != "search" and "retrieved" not in entry.body:
        return None
    content = entry.body.get("content")
    if not isinstance(content, dict) or content.get("mode") != "encrypted":
        return Evidence(state="not_kept")
    try:
        return Evidence(state="kept", nonce=nonce_of(reader.content(entry.seq, TEXT)))
    except AuditRefused as error:
        if error.code != "content_unavailable":
            raise
        return Evidence(state="erased")
