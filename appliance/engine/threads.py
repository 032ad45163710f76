"""How many threads a step gets: a controller, not a constant.

ggml's threads meet at a spinning barrier thousands of times per token, so one thread that the
host takes away holds up all the others: with a busy neighbour on one of two cores a step takes
twenty times as long, while with one thread fewer nothing is lost.

Rules: another count is tried for a few steps and kept if it is clearly faster on steps of the
same size; slow steps bring the next try forward; a try that fails is ended at its first very slow
step and repeated later each time. Pure: step times come in as numbers.
"""

from collections import deque
from statistics import median

_SLOW = 2.5  # a step this many times slower than usual has lost a thread
_FASTER = 0.9
_STRIKES = 3
_SAMPLES = 3  # steps of one size that decide a trial
_LONGEST_TRIAL = 12
_HISTORY = 8
_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 15.0


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
        self._wait = {-1: _FIRST_WAIT_S, 1: _FIRST_WAIT_S}
        self._next = {-1: 0.0, 1: 0.0}

    def record(self, tokens: int, seconds: float, now: float) -> int:
        """Note a step and decide.

        Args:
            tokens: tokens in the step.
            seconds: how long it took.
            now: monotonic time in seconds.

        Returns:
            The thread count for the next step.
        """
        size = tokens.bit_length()  # steps of similar size are compared with each other
        times = self._times.setdefault((self.count, size), deque(maxlen=_HISTORY))
        usual = median(times) if len(times) >= _STRIKES else None
        times.append(seconds)
        if self._home is not None:
            self._judge(self._home, size, seconds, now)
        else:
            slow = usual is not None and seconds > _SLOW * usual
            self._strikes = self._strikes + 1 if slow else 0
            if self._strikes >= _STRIKES:  # the host has changed: compare with how it is now
                while len(times) > _SAMPLES:
                    times.popleft()
            self._maybe_try(len(times), now)
        return self.count

    def _maybe_try(self, known: int, now: float) -> None:
        if known < _SAMPLES:
            return
        if self.count > 1 and (self._strikes >= _STRIKES or now >= self._next[-1]):
            self._try(-1)
        elif self.count < self.most and now >= self._next[1]:
            self._try(1)

    def _try(self, direction: int) -> None:
        self._home = self.count
        self.count += direction
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
        direction = self.count - home
        self._home = None
        if kept:
            self._wait = {-1: _FIRST_WAIT_S, 1: _FIRST_WAIT_S}
            self._next[-direction] = now + _FIRST_WAIT_S
            self._next[direction] = now
        else:
            self.count = home
            self._next[direction] = now + self._wait[direction]
            self._wait[direction] = min(2 * self._wait[direction], _LONGEST_WAIT_S)
