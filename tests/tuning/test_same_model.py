"""A file of other weights is the same model, or it is refused."""

from pathlib import Path

import pytest

from appliance.errors import TuningRefused
from appliance.tuning.same_model import check, identity
from tests.requantised import as_q4_0


def test_other_weights_are_the_same_model(default_model_path: Path, tmp_path: Path) -> None:
    before = identity(default_model_path.read_bytes())
    after = identity(as_q4_0(default_model_path, tmp_path / "other.gguf").read_bytes())
    assert len(check(before, after)) == 64


@pytest.mark.parametrize("key", [b"<|im_start|>", b"tokenizer.ggml.pre"])
def test_an_edited_template_or_tokenizer_is_refused(default_model_path: Path, key: bytes) -> None:
    data = default_model_path.read_bytes()
    before = identity(data)
    at = data.index(key)
    other = data[:at] + bytes([key[0] ^ 1]) + data[at + 1 :]
    with pytest.raises(TuningRefused) as refused:
        check(before, identity(other))
    assert refused.value.code == "quantize_changed" and "tokenizer" in str(refused.value)
