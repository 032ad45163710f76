"""Signs of life."""

import pytest
from pydantic import ValidationError

from appliance.wire.openai.health import Health


def test_there_are_two_signs_and_no_third() -> None:
    assert Health(status="ok").model_dump() == {"status": "ok"}
    assert Health(status="ready").status == "ready"
    with pytest.raises(ValidationError):
        Health.model_validate({"status": "starting"})
