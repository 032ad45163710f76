"""The schema of the load."""

from appliance.wire.admin.usage import CurrentLoad


def test_a_newer_server_may_say_more_and_an_older_one_less() -> None:
    load = CurrentLoad.model_validate({"at": 1.0, "server": "1", "new": 1})
    assert (load.ttft.counts, load.gpus) == ([], [])
