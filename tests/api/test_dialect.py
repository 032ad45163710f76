"""Which paths are of Anthropic's API."""

import pytest

from appliance.api.dialect import speaks_anthropic


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/v1/messages", True), ("/v1/messages/count_tokens", True), ("/v1/messagesx", False),
        ("/v1/models", False), ("/v1/chat/completions", False),
    ],
)  # fmt: skip
def test_messages_and_what_is_below_them(path: str, wanted: bool) -> None:
    assert speaks_anthropic(path) is wanted
