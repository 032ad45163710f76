"""The evidence of a request as apps read it."""

import pytest
from pydantic import ValidationError

from appliance.wire.openai.receipts import EntryRef, ReceiptResponse

INTENT = EntryRef(seq=7, leaf="ab" * 32)


def test_an_outcome_may_not_be_there_yet_but_is_named() -> None:
    receipt = ReceiptResponse(
        request_id="req-1", intent=INTENT, outcome=None, proof={"leaf": 7}, checkpoint="log\n"
    )
    document = receipt.model_dump()
    assert document["outcome"] is None
    assert document["intent"] == {"seq": 7, "leaf": "ab" * 32}
    assert ReceiptResponse.model_validate(document) == receipt
    del document["outcome"]
    with pytest.raises(ValidationError):
        ReceiptResponse.model_validate(document)
