"""A file on its way in: cut into parts at the ends of lines, within the limits of its key.

Rules: no more than one part and one line is in memory; a file over a limit leaves nothing behind.
"""

from dataclasses import dataclass
from typing import Final

from appliance.batches.files import INPUT, KeptFile, KeptFiles, lines_of
from appliance.errors import BadRequest, Overloaded, TooLarge

PART_BYTES: Final = 256 << 10


@dataclass(frozen=True)
class FileLimits:
    """Limits of files: bytes of one, of all of a key, lines, bytes of a line."""

    file_bytes: int
    key_bytes: int
    lines: int
    line_bytes: int


class IncomingFile:
    """One file of a key. Methods block.

    Args:
        until_us: when it goes, unless `finish` has another time.
    """

    def __init__(self, files: KeptFiles, limits: FileLimits, key_id: str, until_us: int) -> None:
        self._files, self._limits = files, limits
        self._used = files.used(key_id)
        self._rest, self._lines, self._bytes = bytearray(), 0, 0
        self._open = 0  # bytes of the line that has no end yet
        self._key, self._until = key_id, until_us
        self._id = ""
        self._check_room(1)

    def begin(self, name: str) -> None:
        """Take the file's name, before its bytes."""
        self._id = self._files.begin(self._key, INPUT, name, self._until)

    @property
    def begun(self) -> bool:
        return bool(self._id)

    def take(self, data: bytes) -> None:
        """Take the next bytes (`batch_line_too_long`, `batch_too_many_lines`, `files_full`,
        `request_too_large`).
        """
        self._bytes += len(data)
        if self._bytes > self._limits.file_bytes:
            what = f"The file is larger than {self._limits.file_bytes} bytes."
            raise TooLarge("request_too_large", what, param="file")
        self._check_room(self._bytes)
        self._rest += data
        ended = data.rfind(b"\n") + 1
        self._open = len(data) - ended if ended else self._open + len(data)
        if (end := len(self._rest) - self._open) >= PART_BYTES:
            self._keep(end)
        self._check_line(self._open)

    def finish(self, until_us: int | None = None) -> KeptFile:
        """Publish the file. Raises as `take`; `batch_empty`."""
        if self._rest:
            self._keep(len(self._rest))
        if not self._lines:
            raise BadRequest("batch_empty", "The file has no line.", param="file")
        made, self._id = self._files.finish(self._id, until_us), ""
        return made

    def drop(self) -> None:
        """Leave nothing of an unfinished file."""
        if self._id:
            self._files.remove(self._id)

    def _keep(self, end: int) -> None:
        text = bytes(self._rest[:end])
        del self._rest[:end]
        found = lines_of(text)
        self._check_line(max(map(len, found)) - 1)
        lines = len(found)
        if self._lines + lines > self._limits.lines:
            what = f"A file has at most {self._limits.lines} lines."
            raise BadRequest("batch_too_many_lines", what, param="file")
        self._files.append(self._id, self._lines, text, lines)
        self._lines += lines

    def _check_line(self, size: int) -> None:
        if size > self._limits.line_bytes:
            what = f"A line has more than {self._limits.line_bytes} bytes."
            raise BadRequest("batch_line_too_long", what, param="file")

    def _check_room(self, more: int) -> None:
        if self._used + more > self._limits.key_bytes:
            what = f"The files of this key have {self._used} bytes of {self._limits.key_bytes}."
            raise Overloaded("files_full", what)
