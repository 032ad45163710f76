"""Whether a host may be asked: open after failures, and closed again by a probe alone.

Rules: no request of an app tries out a host that failed; the time until the next probe doubles up
to a limit; one probe at a time. Time is that of a steady clock, so that a wall clock set back
changes nothing.
"""

from typing import Final, Literal

_FAILURES: Final = 3
_FIRST_S: Final = 0.25
_LONGEST_S: Final = 15.0


class Breaker:
    """The state of one host for one model; open until its first probe passes."""

    def __init__(self) -> None:
        self._failures = 0
        self._wait = _FIRST_S
        self._until: float | None = 0.0
        self._probing = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """What it is called: half-open while a probe is under way."""
        if self._until is None:
            return "closed"
        return "half-open" if self._probing else "open"

    @property
    def closed(self) -> bool:
        """Whether requests may be sent."""
        return self._until is None

    @property
    def probing(self) -> bool:
        """Whether a probe is under way."""
        return self._probing

    def failed(self, now: float, *, gone: bool) -> None:
        """Note a failure.

        Args:
            gone: nothing listens there, so that there is no need to wait for more failures.
        """
        self._failures += 1
        if self.closed and (gone or self._failures >= _FAILURES):
            self._until = now + self._wait

    def succeeded(self) -> None:
        """Note a whole answer."""
        if self.closed:
            self._failures, self._wait = 0, _FIRST_S

    def may_probe(self, now: float) -> bool:
        """Whether it is time to find out."""
        return self._until is not None and now >= self._until and not self._probing

    def probe(self) -> None:
        """A probe begins."""
        self._probing = True

    def probed(self, now: float, *, passed: bool) -> None:
        """A probe ended."""
        self._probing = False
        if passed:
            self._until, self._failures, self._wait = None, 0, _FIRST_S
        else:
            self._until = now + self._wait
            self._wait = min(2 * self._wait, _LONGEST_S)
