"""Token bytes in, text that will not change any more out.

Rules: text is cut before the stop string that is complete first; nothing that could still become a
stop string or half a character leaves; bytes that are not UTF-8 become U+FFFD.
"""

import codecs


class TextStream:
    """Incremental UTF-8 decoding; the strings `stop` end the text and are not part of it.

    Attributes:
        stopped: the one that ended it; "" before.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = ""

    def push(self, piece: bytes, *, may_stop: bool = True) -> str:
        """The text that is now certain.

        Args:
            may_stop: False while the request asked for more tokens first; stop strings that end
                before that point are plain text.
        """
        text = self._decoder.decode(piece)
        if not self._stop:
            return text
        self._held += text
        if not may_stop or self._cut():
            return self._take()
        keep = max(_overlap(self._held, s) for s in self._stop)
        out = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return out

    def finish(self) -> str:
        self._held += "" if self.stopped else self._decoder.decode(b"", final=True)
        self._cut()
        return self._take()

    def _cut(self) -> bool:
        """True if a stop string ended the text."""
        found = [(i + len(s), i) for s in self._stop if (i := self._held.find(s)) >= 0]
        if found:
            end, begin = min(found)
            self.stopped, self._held = self._held[begin:end], self._held[:begin]
        return bool(found)

    def _take(self) -> str:
        out, self._held = self._held, ""
        return out


def _overlap(text: str, stop: str) -> int:
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
