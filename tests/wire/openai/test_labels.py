"""Bodies of `/v1/labels`."""

from typing import get_args

import pytest
from pydantic import ValidationError

from appliance.datasets.labelling import Reason
from appliance.wire.openai.labels import AsideReason, LabelSaid


def test_a_label_or_a_reason_and_nothing_else() -> None:
    for body in ({"item": "u1", "label": "leak"}, {"item": "u1", "aside": "unreadable"}):
        LabelSaid.model_validate(body)
    wrong: list[dict[str, object]] = [
        {"label": "leak"}, {"item": "u1", "label": 3}, {"item": "u1", "aside": "I do not know"},
        {"item": "u1", "label": "leak", "rater": "ben"}, {"item": "", "label": "leak"},
    ]  # fmt: skip
    for one in wrong:
        with pytest.raises(ValidationError):
            LabelSaid.model_validate(one)


def test_the_reasons_are_those_of_a_queue() -> None:
    assert get_args(AsideReason) == get_args(Reason)
