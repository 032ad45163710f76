"""The phases in their order, each safe to repeat."""

from installer.host.phases import PHASES


def test_nothing_in_service_is_touched_before_the_switch() -> None:
    names = [name for name, _, _ in PHASES]
    assert names == [
        "copy", "verify", "assemble", "label", "host", "stop", "snapshot", "switch",
        "initialise", "start", "health", "pin",
    ]  # fmt: skip
