"""`GET /v1/receipts/{request_id}`: the evidence of a request, for the app that sent it."""

import re
from typing import Final

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.errors import NotFound
from appliance.wire.openai.receipts import EntryRef, ReceiptResponse

_REQUEST_ID: Final = re.compile("req-[0-9a-f]{32}")
router = APIRouter(tags=["receipts"])


# A plain function, so that it runs in a thread: it reads the log's database.
@router.get("/v1/receipts/{request_id}")
def receipt(request: Request, caller: CallerDep, request_id: str) -> ReceiptResponse:
    """The entries, an inclusion proof and the newest signed head; 404 for another app's request."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise NotFound("not_found", "This is not the id of a request.")
    reader = services_of(request).reader
    intent, outcome = reader.find_request(request_id, caller.principal.key_id)
    return ReceiptResponse(
        request_id=request_id,
        intent=EntryRef(seq=intent.seq, leaf=intent.leaf.hex()),
        outcome=EntryRef(seq=outcome.seq, leaf=outcome.leaf.hex()) if outcome else None,
        proof=reader.proof((outcome or intent).seq).decode(),
        checkpoint=reader.checkpoint(),
    )
