"""Bodies of `/v1/conversations`: few items at once, metadata as of responses."""

import pytest
from pydantic import BaseModel, ValidationError

from appliance.wire.openai.conversations import ConversationRequest, ItemsRequest

ITEM = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (ItemsRequest, {"items": []}),
        (ItemsRequest, {}),
        (ItemsRequest, {"items": [ITEM] * 21}),
        (ItemsRequest, {"items": [{"type": "message"}]}),
        (ItemsRequest, {"items": [{"type": "image"}]}),
        (ConversationRequest, {"items": [ITEM] * 21}),
        (ConversationRequest, {"metadata": {str(n): "x" for n in range(17)}}),
        (ConversationRequest, {"metadata": {"a": 5}}),
    ],
)
def test_what_is_too_much_or_no_item_is_refused(
    model: type[BaseModel], body: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(body)


def test_everything_may_be_left_out_of_a_new_one() -> None:
    for body in ({}, {"items": None, "metadata": None}):
        assert ConversationRequest.model_validate(body).items == []
    assert len(ItemsRequest.model_validate({"items": [ITEM] * 20}).items) == 20
