"""The bound on what the preparation of one request may take."""

import threading
import time

import pytest

from appliance.engine import effort
from appliance.errors import BadRequest


def test_nothing_is_bounded_outside() -> None:
    effort.check()
    with effort.bounded(0):
        pass
    effort.check()


def test_what_is_spent_is_refused_with_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = 0.0
    monkeypatch.setattr(time, "thread_time", lambda: spent)
    with effort.bounded():
        spent = effort.MOST_S
        effort.check()
        spent += 0.001
        with pytest.raises(BadRequest) as caught:
            effort.check()
    assert caught.value.code == "request_too_large"


def test_each_thread_has_its_own_bound() -> None:
    with effort.bounded(-1):
        other = threading.Thread(target=effort.check)
        other.start()
        other.join()
        with pytest.raises(BadRequest):
            effort.check()
