"""The list of models, read with the OpenAI SDK's own types."""

from openai.types import Model as SdkModel

from appliance.wire.openai.models import Model, ModelList


def test_the_sdk_reads_a_model_and_the_context_length_beside_it() -> None:
    model = Model(id="smol", created=1_764_000_000, max_model_len=8192)
    read = SdkModel.model_validate(model.model_dump(), strict=True)
    assert (read.id, read.object, read.owned_by) == ("smol", "model", "appliance")
    assert read.model_extra == {"parent": None, "max_model_len": 8192, "meta": {}}


def test_a_list_says_that_it_is_one() -> None:
    assert ModelList(data=[]).model_dump() == {"object": "list", "data": []}


def test_models_share_no_metadata() -> None:
    one, other = (Model(id=i, created=0, max_model_len=1) for i in "ab")
    one.meta["kind"] = "embed"
    assert other.meta == {}
