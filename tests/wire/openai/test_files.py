"""The schemas of files, beside those of OpenAI's SDK."""

import pytest
from openai.types import FileDeleted
from openai.types import FileObject as SdkFile
from pydantic import ValidationError

from appliance.wire.openai.files import FileForm, FileObject, RemovedFile


def test_the_sdk_reads_them() -> None:
    file = FileObject(
        id="file-1", bytes=1, created_at=1, expires_at=2, filename="a", purpose="batch"
    )
    assert SdkFile.model_validate(file.model_dump()).purpose == "batch"
    assert FileDeleted.model_validate(RemovedFile(id="file-1").model_dump()).deleted


def test_a_form_has_texts_and_known_fields() -> None:
    form = {"purpose": "batch", "expires_after[seconds]": "3600"}
    assert FileForm.model_validate(form).seconds == 3600
    for change in ({"purpose": "vision"}, {"x": "y"}, {"expires_after[seconds]": "1"}):
        with pytest.raises(ValidationError):
            FileForm.model_validate({**form, **change})
