"""Work beside the screen."""

import queue
import threading

import pytest

from appliance.errors import ApplianceError, NotFound
from tui.background import background


@pytest.mark.parametrize(
    ("raised", "code"),
    [(NotFound("not_found", "no"), "not_found"), (KeyError("x"), "incompatible_server")],
)
def test_an_error_is_an_answer(raised: Exception, code: str) -> None:
    told: queue.Queue[object] = queue.Queue()

    def work() -> object:
        raise raised

    background(work, told.put)
    found = told.get(timeout=30)
    assert isinstance(found, ApplianceError) and found.code == code


def test_it_keeps_no_program_from_ending() -> None:
    told: queue.Queue[object] = queue.Queue()
    background(lambda: threading.current_thread().daemon, told.put)
    assert told.get(timeout=30) is True
