"""The list of models, read with the OpenAI SDK's own types."""

from openai.types import Model as SdkModel

from appliance.wire.openai.models import Model, ModelList, ModelMeta

META = ModelMeta(
    type="chat", digest="ab", kind="generate", loaded=True, tools=True, json_schema=True
)


def test_the_sdk_reads_a_model_and_what_it_is_beside_it() -> None:
    model = Model(id="smol", created=1_764_000_000, max_model_len=8192, meta=META)
    read = SdkModel.model_validate(model.model_dump(), strict=True)
    assert (read.id, read.object, read.owned_by) == ("smol", "model", "appliance")
    assert read.model_extra == {
        "parent": None,
        "max_model_len": 8192,
        "meta": {
            "type": "chat", "digest": "ab", "kind": "generate", "loaded": True, "tools": True,
            "json_schema": True,
        },
    }  # fmt: skip


def test_a_list_says_that_it_is_one() -> None:
    assert ModelList(data=[]).model_dump() == {"object": "list", "data": []}
