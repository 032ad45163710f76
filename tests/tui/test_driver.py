"""A basic terminal gets each row once, and all rows after a key."""

import os
import pty
from types import SimpleNamespace
from typing import Any

from tui.driver import SparingDriver


def test_a_row_is_not_sent_twice_in_a_row_but_after_a_key() -> None:
    sent: list[str] = []
    other, terminal = pty.openpty()
    driver: Any = SparingDriver.__new__(SparingDriver)  # without the handlers of signals
    driver._shown, driver._size_shown, driver.fileno = {}, None, terminal
    driver._writer_thread = SimpleNamespace(write=sent.append)
    driver._app, driver.cursor_origin, driver.send_message = None, None, lambda message: None
    first, second = "\x1b[1;1Hpump", "\x1b[2;1Hvalve"
    try:
        for written, wanted in (
            (first + second, first + second),
            (first + "\x1b[2;1Hmotor", "\x1b[2;1Hmotor"),
            (second, second),
            (second, ""),
            ("\x1b[3;7H", "\x1b[3;7H"),  # a move alone
        ):
            driver.write(written)
            assert sent.pop() == wanted
        message: Any = SimpleNamespace(set_sender=lambda app: None)
        driver.process_message(message)
        driver.write(second)
        assert sent == [second]
    finally:
        os.close(other)
        os.close(terminal)
