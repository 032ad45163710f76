"""The reply: the counts as the API defines them."""

from appliance.wire.anthropic.reply import MessageReply, MessageUsage


def test_the_counts_of_a_reply() -> None:
    usage = MessageUsage(input_tokens=4, cache_read_input_tokens=3, output_tokens=2)
    reply = MessageReply(
        id="msg_1", model="m", content=[], stop_reason="end_turn", stop_sequence=None, usage=usage
    )
    found = reply.model_dump()
    assert (found["type"], found["role"]) == ("message", "assistant")
    assert found["usage"] == {
        "input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3,
        "output_tokens": 2,
    }  # fmt: skip
