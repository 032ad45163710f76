"""The shared state of a run cannot be changed."""

import dataclasses

from installer.host.context import Context


def test_it_is_frozen() -> None:
    assert Context.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert {field.name for field in dataclasses.fields(Context)} >= {"previous", "data_existed"}
