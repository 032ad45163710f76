"""The schemas of batches, beside those of OpenAI's SDK."""

import pytest
from openai.types import Batch
from pydantic import ValidationError

from appliance.wire.openai.batches import BatchObject, BatchRequest

ASKED = {"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h"}


@pytest.mark.parametrize("window", ["0h", "24", "1d", "1000h", "-1h", " 1h", "24h\n"])
def test_a_window_is_hours(window: str) -> None:
    assert BatchRequest.model_validate(ASKED).hours == 24
    longest = {**ASKED, "completion_window": "999h"}
    assert BatchRequest.model_validate(longest).hours == 720
    with pytest.raises(ValidationError):
        BatchRequest.model_validate({**ASKED, "completion_window": window})


def test_metadata_is_short_texts() -> None:
    for metadata in ({"a": 1}, {"": "x"}, {"a" * 65: "x"}, {"a": "x" * 513},
                     {str(n): "x" for n in range(17)}):  # fmt: skip
        with pytest.raises(ValidationError):
            BatchRequest.model_validate({**ASKED, "metadata": metadata})
    with pytest.raises(ValidationError) as many:  # not a refusal for each
        BatchRequest.model_validate({**ASKED, "metadata": {str(n): n for n in range(17)}})
    assert many.value.error_count() == 1


def test_the_sdk_reads_a_batch() -> None:
    times = [name for name in BatchObject.model_fields if name.endswith("_at")]
    batch = BatchObject.model_validate(
        {
            **dict.fromkeys(times), "created_at": 1, "expires_at": 2, "id": "batch_1",
            "endpoint": "/v1/embeddings", "model": None, "input_file_id": "file-1",
            "completion_window": "24h", "status": "failed", "output_file_id": None,
            "error_file_id": None, "metadata": {"a": "b"},
            "errors": {"data": [{"code": "x", "message": "y", "line": 1, "param": None}]},
            "request_counts": {"total": 1, "completed": 0, "failed": 1},
        }
    )  # fmt: skip
    read = Batch.model_validate(batch.model_dump())
    assert read.errors and read.errors.data and read.errors.data[0].line == 1
