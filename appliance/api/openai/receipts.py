"""`GET /v1/receipts/{request_id}`: the evidence of a request, for the app that sent it."""

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.wire.openai import EntryRef, ReceiptResponse

router = APIRouter(tags=["receipts"])


@router.get("/v1/receipts/{request_id}")
def receipt(request: Request, caller: CallerDep, request_id: str) -> ReceiptResponse:
    """The entries, an inclusion proof and the newest signed head of the log.

    A plain function, so that it runs in a thread: it reads the log's database.

    Raises:
        NotFound: no such request, or another app's.
    """
    reader = services_of(request).reader
    intent, outcome = reader.find_request(request_id, caller.principal.key_id)
    return ReceiptResponse(
        request_id=request_id,
        intent=EntryRef(seq=intent.seq, leaf=intent.leaf.hex()),
        outcome=EntryRef(seq=outcome.seq, leaf=outcome.leaf.hex()) if outcome else None,
        proof=reader.proof((outcome or intent).seq).decode(),
        checkpoint=reader.checkpoint(),
    )
