"""The body of an error: four fields, none of which may be left out."""

import pytest
from pydantic import ValidationError

from appliance.wire.openai.errors import ErrorDetail, ErrorResponse

DETAIL = {"message": "No.", "type": "invalid_request_error", "param": None, "code": "bad_value"}


def test_a_body_reads_back_as_it_was_written() -> None:
    body = ErrorResponse(error=ErrorDetail.model_validate(DETAIL))
    assert body.model_dump(exclude_unset=True) == {"error": DETAIL}
    assert ErrorResponse.model_validate_json(body.model_dump_json()) == body


@pytest.mark.parametrize("field", sorted(DETAIL))
def test_no_field_may_be_left_out(field: str) -> None:
    rest = {name: value for name, value in DETAIL.items() if name != field}
    with pytest.raises(ValidationError) as caught:
        ErrorResponse.model_validate({"error": rest})
    assert caught.value.errors()[0]["loc"] == ("error", field)
