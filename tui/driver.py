"""The writer of a basic terminal, often a slow serial line."""

import os
import re
from typing import Any

from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

_PLACE = re.compile(r"(?=\x1b\[\d+;\d+H)")


class SparingDriver(LinuxDriver):
    """Sends no row twice in a row: Textual does so after each layout that resizes a widget.

    A key or a new size has every row sent again: something else may have written over it.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shown: dict[str, str] = {}
        self._size_shown: object = None

    def process_message(self, message: Message) -> None:
        self._shown.clear()
        super().process_message(message)

    def write(self, data: str) -> None:
        size = os.get_terminal_size(self.fileno)
        if size != self._size_shown or "\x1b[?1049" in data:
            self._size_shown = size
            self._shown.clear()
        super().write("".join(part for part in _PLACE.split(data) if self._differs(part)))

    def _differs(self, part: str) -> bool:
        place, moves, text = part.partition("H")
        row = place.partition(";")[0]
        if not moves or not text or not _PLACE.match(part):
            return True
        shown, self._shown[row] = self._shown.get(row), part.rstrip("\n")
        return self._shown[row] != shown
