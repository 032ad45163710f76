"""Arguments of tools: nothing unknown, nothing without an end."""

import pytest
from pydantic import BaseModel, ValidationError

from appliance.wire.mcp.tools import AskArguments, ClassifyArguments, ReceiptArguments

RECEIPT = f"3 {'a' * 64} 9"


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (AskArguments, {"task": "t", "text": "x"}),
        (ClassifyArguments, {"task": "t", "texts": ["x"]}),
        (ReceiptArguments, {"request_id": "r", "receipt": RECEIPT}),
    ],
)
def test_arguments_are_those_and_no_others(
    model: type[BaseModel], given: dict[str, object]
) -> None:
    assert model.model_validate(given).model_dump() == given
    for name in given:
        with pytest.raises(ValidationError):
            model.model_validate({**given, name: 5})
    with pytest.raises(ValidationError):
        model.model_validate({**given, "more": 1})


@pytest.mark.parametrize("texts", [[], [""], ["x"] * 65, "x", [1]])
def test_texts_are_few_and_none_is_empty(texts: object) -> None:
    with pytest.raises(ValidationError):
        ClassifyArguments.model_validate({"task": "t", "texts": texts})


@pytest.mark.parametrize("receipt", ["", "1 a 2", f"{RECEIPT}, {RECEIPT}", f"-{RECEIPT}"])
def test_a_receipt_is_one_line_of_the_header(receipt: str) -> None:
    with pytest.raises(ValidationError):
        ReceiptArguments.model_validate({"request_id": "r", "receipt": receipt})
