"""Errors that nobody expected are logged without their words, counted, and end no watch."""

import asyncio
import logging
from functools import partial

import pytest

from appliance.observability.metrics import Metrics
from appliance.observability.unexpected import alarms, kept, unexpected


def test_an_unexpected_error_is_logged_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(prompt: str) -> None:
        raise KeyError(prompt)

    with pytest.raises(KeyError) as caught:
        fail("secret" + " plan")
    with caplog.at_level(logging.ERROR):
        known = unexpected(caught.value, "req-1")
    assert known.code == "internal_error" and "req-1" in known.message
    assert "req-1" in caplog.text and "KeyError" in caplog.text and "in fail" in caplog.text
    assert "secret plan" not in caplog.text + known.message


async def test_work_that_goes_on_for_ever_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.observability.unexpected._AGAIN_S", 0.0)
    metrics, begun = Metrics(), 0
    assert alarms(metrics) == []

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise KeyError("once more")

    await kept("keys", work, metrics)  # until it ends by itself
    assert begun == 3
    assert alarms(metrics)[0].startswith("2 errors")


async def test_it_ends_when_it_is_told_to() -> None:
    task = asyncio.create_task(kept("keys", partial(asyncio.sleep, 60), Metrics()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
