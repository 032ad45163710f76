"""`GET /v1/receipts/{request_id}`: the evidence of a request."""

from typing import Any

from pydantic import BaseModel


class EntryRef(BaseModel):
    """Where an audit entry stands in the log: sequence number and leaf hash in hex."""

    seq: int
    leaf: str


class ReceiptResponse(BaseModel):
    """The evidence of one request.

    `proof` is a proof document for the outcome (for the intent while there is no outcome), as
    `appliance audit check-proof` reads it; `checkpoint` is the newest signed head of the log.
    """

    request_id: str
    intent: EntryRef
    outcome: EntryRef | None
    proof: Any
    checkpoint: str
