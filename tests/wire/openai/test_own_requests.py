"""The reply that tells a key its requests."""

from appliance.wire.openai.own_requests import OwnRequest, OwnRequestList


def test_a_request_is_told_without_its_texts() -> None:
    one = OwnRequest(
        id="req-1", created=1, route="/v1/responses", model="orders", state="open",
        prompt_tokens=3, completion_tokens=0, response="resp_1",
    )  # fmt: skip
    told = OwnRequestList(data=[one], before=None).model_dump()
    assert told["before"] is None and set(told["data"][0]) == {
        "object", "id", "created", "route", "model", "state", "prompt_tokens",
        "completion_tokens", "response",
    }  # fmt: skip
