"""The list of models, read with the OpenAI SDK's own types."""

from openai.types import Model as SdkModel

from appliance.wire.openai.models import Model, ModelList, ModelMeta

META = ModelMeta(
    type="chat", digest="ab", kind="generate", loaded=True, tools=True, json_schema=True,
    labels=False, citations=False, licence="apache-2.0",
)  # fmt: skip


def test_the_sdk_reads_a_model_and_what_it_is_beside_it() -> None:
    model = Model(
        id="smol", display_name="smol", created=1_764_000_000, created_at="2025-11-24T16:00:00Z",
        max_model_len=8192, meta=META,
    )  # fmt: skip
    read = SdkModel.model_validate(model.model_dump(), strict=True)
    assert (read.id, read.object, read.owned_by) == ("smol", "model", "appliance")
    assert read.model_extra == {
        "type": "model",
        "display_name": "smol",
        "created_at": "2025-11-24T16:00:00Z",
        "parent": None,
        "max_model_len": 8192,
        "meta": {
            "type": "chat", "digest": "ab", "kind": "generate", "loaded": True, "tools": True,
            "json_schema": True, "labels": False, "citations": False, "licence": "apache-2.0",
        },
    }  # fmt: skip


def test_a_list_says_that_it_is_one() -> None:
    assert ModelList(data=[], first_id=None, last_id=None).model_dump() == {
        "object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None,
    }  # fmt: skip
