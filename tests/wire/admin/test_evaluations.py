"""The page of an evaluation on the wire."""

from appliance.wire.admin.evaluations import Report


def test_a_newer_server_may_say_more() -> None:
    assert Report.model_validate({"html": "<p>", "later": 1}).html == "<p>"
