"""`GET /v1/receipts/{request_id}`: the evidence of a request."""

from typing import Any, Literal

from pydantic import BaseModel


class EntryRef(BaseModel):
    """Where an audit entry is in the log: sequence number and leaf hash in hex."""

    seq: int
    leaf: str


class Evidence(BaseModel):
    """Opening of the commitments to passages and citations.

    `nonce` is there while `state` is `kept`; `erased` or `not_kept` says why it is not.
    """

    state: Literal["kept", "erased", "not_kept"]
    nonce: str | None = None


class PeerReceipt(BaseModel):
    """The receipt that another appliance gave.

    `standing` is `checked` where a proof held under the first key of the log `origin`, else `kept`.
    """

    seq: int
    leaf: str
    size: int
    standing: Literal["checked", "kept"]
    origin: str | None = None


class AnsweredBy(BaseModel):
    """The host on the network that answered; `digest` is of the record that people approved."""

    upstream: str
    host: str
    digest: str
    receipt: PeerReceipt | None = None


class ReceiptResponse(BaseModel):
    """The evidence of one request; of a search, `intent` is its only entry.

    `proof` is a proof document for the outcome (for the intent while there is none), as
    `appliance audit check-proof` reads it; `checkpoint` is the newest signed head of the log.
    `evidence` is there where passages of documents were found, `answered_by` where a host on the
    network answered; the proved entry says the same.
    `mirrored` says whether another appliance has the entry now, where answers wait for that.
    `site` is `stale` where the appliance had heard no other of its site for too long.
    `replayable` is `yes`, or why the answer cannot be computed again.
    """

    request_id: str
    intent: EntryRef
    outcome: EntryRef | None
    proof: Any
    checkpoint: str
    evidence: Evidence | None = None
    answered_by: AnsweredBy | None = None
    replayable: str | None = None
    mirrored: Literal["yes", "no"] | None = None
    site: Literal["stale"] | None = None
