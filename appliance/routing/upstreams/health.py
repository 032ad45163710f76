"""Health of a host, from its answers, failures and probes. No I/O.

Rules:
- A second difference trips a host; one makes it suspect: still asked, for a limited time.
- Company moves log-probabilities as other weights do, so a difference counts only when nothing of
  ours ran there during the probe; others call for such a moment.
- Only a probe, never a request, takes back a host that failed; the time until the next one doubles
  up to a limit. One probe at a time.
- Slowness during running answers is no failure, nor is a failed probe of a host that sent a piece
  of an answer lately. Simultaneous failures count once.
- The last usable host stays, unless it refuses, shows another certificate, or trips.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, assert_never

from appliance.routing.upstreams.sequential_comparison import Company

SUSPECT_S: Final = 600.0
"""How long a suspect host is asked."""
AGREEING: Final = 2
"""Quiet probes in a row that take a suspect host back."""
WINDOW_S: Final = 1.0
"""Failures within it are one."""
FAILURES: Final = 3
_FIRST_S: Final = 0.25
_LONGEST_S: Final = 15.0

State = Literal["ready", "busy", "suspect", "tripped", "unreachable"]
Reach = Literal["closed", "open", "half-open"]


class ProbeVerdict(Enum):
    """The end of a probe."""

    SAME = "it answered as what was learnt"
    OTHER = "it answered otherwise"
    SLOW = "it had no room, or took too long"
    FAILED = "it gave no answer to the probe"
    GONE = "it refused the connection, or showed another certificate"


@dataclass(frozen=True)
class HostProbe:
    """A probe's finding.

    Attributes:
        exact: whether the difference is one that company cannot make.
        distances: of each prompt, in millionths.
        tolerance: of the fingerprint, likewise.
    """

    verdict: ProbeVerdict
    why: str = ""
    exact: bool = False
    distances: tuple[int, ...] = ()
    tolerance: int = 0


@dataclass(frozen=True)
class Intervals:
    """Times of one upstream, in seconds.

    Attributes:
        probe: between two probes.
        quiet: within which a host has to agree once, if need be at a quiet moment.
        idle: within which a piece of an answer shows that the host is alive.
    """

    probe: float
    quiet: float
    idle: float


class HostHealth:
    """The health of one host.

    Args:
        now: a steady clock, in seconds.

    Attributes:
        running: our requests there.
        problem: the code and words of the newest failure; "" after a whole answer or probe.
        suspect: why it is suspect; "" otherwise.
        tripped: why it is believed to be another one; "" otherwise.
        held: whether new requests wait, for a quiet moment.
        agreed: when a probe agreed last; None before one did.
        company: whether a request of ours ran there during the newest probe.
    """

    def __init__(self, intervals: Intervals, now: Callable[[], float]) -> None:
        self.times, self._now = intervals, now
        self.running = 0
        self.problem = self.suspect = self.tripped = ""
        self.held = False
        self.agreed: float | None = None
        self._until: float | None = -math.inf
        self._wait = _FIRST_S
        self._failures = 0
        self._failed = self._heard = self._probed = self._sought = -math.inf
        self._since = 0.0
        self._agreements = 0
        self._beside = Company()
        self.company = False
        self._busy = self._probing = False

    @property
    def reach(self) -> Reach:
        """Half-open while a probe is under way."""
        if self._until is None:
            return "closed"
        return "half-open" if self._probing else "open"

    @property
    def state(self) -> State:
        if self.tripped:
            return "tripped"
        if self.suspect:
            return "suspect"
        if self._until is not None:
            return "unreachable"
        return "busy" if self._busy else "ready"

    @property
    def probed_ago(self) -> float | None:
        return None if self._probed == -math.inf else self._now() - self._probed

    @property
    def usable(self) -> bool:
        late = bool(self.suspect) and self._now() - self._since >= SUSPECT_S
        return self._until is None and not self.tripped and not late

    @property
    def due(self) -> bool:
        if self.tripped or self._probing:
            return False
        if self._until is not None:
            return self._now() >= self._until
        return self._now() - self._probed >= self.times.probe

    @property
    def wants_quiet(self) -> bool:
        if self.suspect or self._beside.calls:
            return True
        newest = max(self._sought, -math.inf if self.agreed is None else self.agreed)
        return self._now() - newest >= self.times.quiet

    def begin(self) -> None:
        self.running += 1
        self.company = True

    def end(self) -> None:
        self.running -= 1

    def heard(self) -> None:
        self._heard = self._now()

    def answered(self) -> None:
        """An answer is whole; it closes no open breaker."""
        self.heard()
        if self._until is None:
            self._failures, self._wait, self.problem = 0, _FIRST_S, ""

    def failed(self, why: str, *, gone: bool, last: bool) -> None:
        """No connection, or no whole answer.

        Args:
            gone: nothing listens there, or its certificate is another.
        """
        self.problem = why
        if not gone:
            now = self._now()
            if now - self._failed < WINDOW_S:
                return
            self._failed = now
            self._failures += 1
            if last or self._failures < FAILURES:
                return
        self._open()

    def hold(self) -> None:
        self.held, self._sought = True, self._now()

    def release(self) -> None:
        self.held = self._probing = False

    def restore(self) -> None:
        """It is the host that agreed shortly before the appliance restarted."""
        self._until, self._probed = None, self._now()

    def probe(self) -> None:
        self._probing = True

    def asking(self) -> None:
        self.company = self.running > 0

    def probed(self, found: HostProbe, *, last: bool) -> None:
        """`last`: no other host can be asked."""
        self._probing, self._probed = False, self._now()
        self._busy = False
        match found.verdict:
            case ProbeVerdict.SAME:
                self._agree()
            case ProbeVerdict.OTHER:
                self._differ(found)
            case ProbeVerdict.GONE:
                self._fail(found)
            case ProbeVerdict.SLOW | ProbeVerdict.FAILED:
                self._busy = self._until is None and self._alive(found.verdict)
                if self._until is not None or not (self._busy or last):
                    self._fail(found)
                self.problem = found.why
            case _:
                assert_never(found.verdict)

    def _alive(self, verdict: ProbeVerdict) -> bool:
        beside = verdict is ProbeVerdict.SLOW and self.company
        return beside or self._now() - self._heard < self.times.idle

    def _agree(self) -> None:
        self.agreed = self._probed
        self._beside.clear()
        self._until, self._failures, self._wait, self.problem = None, 0, _FIRST_S, ""
        self.tripped = ""  # a person had it probed
        if self.suspect and not self.company:
            self._agreements += 1
            if self._agreements >= AGREEING:
                self.suspect = ""

    def _differ(self, found: HostProbe) -> None:
        """A difference neither opens nor closes the breaker."""
        if self._until is not None:
            self._later()
        if found.exact or not self.company:
            self._beside.forget()
            self._agreements = 0
            if self.suspect or self.tripped:
                self.tripped, self.suspect = found.why, ""
            else:
                self._doubt(found.why)
            return
        self._beside.observe(found.distances, found.tolerance)
        if (
            self._beside.calls and self.held and not self.suspect and not self.tripped
        ):  # no quiet moment could be had
            self._doubt(f"next to running answers, {found.why}")

    def _doubt(self, why: str) -> None:
        self.suspect, self._since, self._agreements = why, self._now(), 0

    def _fail(self, found: HostProbe) -> None:
        self.problem = found.why
        if self._until is None:
            self._open()
        else:
            self._later()

    def _open(self) -> None:
        if self._until is None:
            self._until = self._now() + self._wait

    def _later(self) -> None:
        self._until = self._now() + self._wait
        self._wait = min(2 * self._wait, _LONGEST_S)
