"""Number of threads of a step: a controller, since one thread that the host takes away holds up all
at ggml's spinning barriers. Pure.

Rules: processor time below wall time times threads shows that the host gave a core to somebody
else. Then, or when steps have become slow, one thread fewer is tried at once; without a sign, one
fewer is tried rarely and one more often. Another count is kept if it is clearly faster on steps of
the same size; a try that fails is ended at its first very slow step and repeated later each time.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median

_SLOW = 2.5  # a step this many times slower than usual has lost a thread
_FASTER = 0.9
_STRIKES = 3
_SAMPLES = 3  # steps of one size that decide a trial
_LONGEST_TRIAL = 12
_HISTORY = 8
_WHOLE = (
    0.85  # share of their time that threads get, at least, while no other process needs the cores
)
_FORGET = 0.8


@dataclass
class _Reason:
    """A reason to try another count, and when it may be tried again.

    Attributes:
        direction: threads more.
        first: seconds until the next try, doubled after each that fails, up to `longest`.
        due: monotonic time from which it may be tried.
    """

    direction: int
    first: float
    longest: float
    due: float
    wait: float = 0.0

    def failed(self, now: float) -> None:
        self.wait = min(2 * self.wait, self.longest) or self.first
        self.due = now + self.wait

    def reset(self, now: float) -> None:
        self.wait, self.due = 0.0, now + self.first


class Threads:
    """The thread count of the next step.

    Args:
        most: threads that the host gives at best.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = most
        self._times: dict[tuple[int, int], deque[float]] = {}
        self._home: int | None = None  # the count to return to, while another is tried
        self._trial_steps = 0
        self._strikes = 0
        self._given = 1.0  # share of their time that the threads got lately
        self._crowded = _Reason(-1, 2.0, 10.0, due=0.0)
        self._routine = _Reason(-1, 15.0, 120.0, due=float("inf"))  # dated by the first step
        self._more = _Reason(1, 2.0, 10.0, due=0.0)
        self._reason = self._more

    def record(self, tokens: int, seconds: float, cpu_seconds: float, now: float) -> int:
        """Note a step, with all threads' processor time; the next count."""
        if self._routine.due == float("inf"):
            self._routine.reset(now)
        size = tokens.bit_length()  # steps of similar size are compared with each other
        times = self._times.setdefault((self.count, size), deque(maxlen=_HISTORY))
        usual = median(times) if len(times) >= _STRIKES else None
        times.append(seconds)
        if self._home is not None:
            self._judge(self._home, size, seconds, now)
            return self.count
        given = min(1.0, cpu_seconds / (seconds * self.count)) if seconds > 0 else 1.0
        self._given = _FORGET * self._given + (1 - _FORGET) * given
        slow = usual is not None and seconds > _SLOW * usual
        self._strikes = self._strikes + 1 if slow else 0
        if self._strikes >= _STRIKES:  # the host has changed: compare with how it is now
            while len(times) > _SAMPLES:
                times.popleft()
        if len(times) >= _SAMPLES:
            self._maybe_try(now)
        return self.count

    def _maybe_try(self, now: float) -> None:
        if self.count > 1:
            crowded = self._given < _WHOLE and now >= self._crowded.due
            if self._strikes >= _STRIKES or crowded:
                return self._try(self._crowded)
            if now >= self._routine.due:
                return self._try(self._routine)
        if self.count < self.most and now >= self._more.due:
            self._try(self._more)

    def _try(self, reason: _Reason) -> None:
        self._home, self._reason = self.count, reason
        self.count += reason.direction
        self._given = 1.0
        self._trial_steps = self._strikes = 0
        for key in [k for k in self._times if k[0] == self.count]:
            del self._times[key]  # what was true a while ago says nothing about now

    def _judge(self, home: int, size: int, seconds: float, now: float) -> None:
        self._trial_steps += 1
        before = self._times.get((home, size))
        tried = self._times[(self.count, size)]
        if before is not None and seconds > _SLOW * median(before):
            self._end(home, now, kept=False)
        elif before is not None and len(tried) >= _SAMPLES:
            self._end(home, now, kept=median(tried) < _FASTER * median(before))
        elif self._trial_steps >= _LONGEST_TRIAL:
            self._end(home, now, kept=False)

    def _end(self, home: int, now: float, *, kept: bool) -> None:
        self._home = None
        if not kept:
            self.count = home
            self._reason.failed(now)
            return
        for reason in (self._crowded, self._routine, self._more):
            reason.reset(now)
        self._reason.due = now  # what helped may help again
