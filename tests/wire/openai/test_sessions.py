"""Bodies of `/v1/sessions`."""

import pytest
from pydantic import ValidationError

from appliance.wire.openai.sessions import SessionBegin, SessionBegun


def test_the_body_is_empty() -> None:
    SessionBegin.model_validate({})
    with pytest.raises(ValidationError):
        SessionBegin.model_validate({"hours": 100})


def test_a_session_tells_who_it_is() -> None:
    told = SessionBegun(token="t", expires=1, name="paula", answers=False).model_dump()
    assert (told["object"], told["name"], told["answers"]) == ("session", "paula", False)
