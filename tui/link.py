"""The connection to the server: the results of the polls, and the thread that polls.

Rules: the program never ends because the server does; what was last known stays, with its age;
after failures the next poll comes later and later; a poll only reads, so asking again is always
harmless. `Link` is pure.
"""

import enum
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from appliance.client import AdminClient
from appliance.errors import ApplianceError, Refused, RequestRefused, ServerUnreachable, Unavailable
from appliance.wire.admin.models import STATUS, Status
from appliance.wire.admin.usage import LOAD, CurrentLoad

T = TypeVar("T")
_LONGEST_WAIT = 15.0
_STALE_AFTER_POLLS = 3


class LinkState(enum.StrEnum):
    """State of the screen's data."""

    CONNECTING = "CONNECTING"  # nothing came yet
    LIVE = "LIVE"
    STALE = "STALE"  # the server takes long to answer
    DOWN = "DOWN"  # it does not answer
    DENIED = "DENIED"
    INCOMPATIBLE = "INCOMPATIBLE"


_BY_CODE = {"forbidden": LinkState.DENIED, "incompatible_server": LinkState.INCOMPATIBLE}


@dataclass(frozen=True)
class Question:
    """Question of the screen in front, asked with each poll.

    Attributes:
        topic: names the screen and its question, so that a late answer is not shown elsewhere.
    """

    topic: str
    ask: Callable[[AdminClient], object]


@dataclass(frozen=True)
class Snapshot:
    """Result of one poll; `answer` comes from `Question.ask`, called in the poller's thread.

    Attributes:
        load: None from a server that does not tell it.
        answer: to the question, or why there is none.
    """

    status: Status
    load: CurrentLoad | None = None
    topic: str = ""
    answer: object = None


@dataclass(frozen=True)
class Files:
    """Snapshot of the files and its time; None where the commands cannot read them."""

    snapshot: Snapshot | None
    at: float


@dataclass(frozen=True)
class Link:
    """Known state of the connection; times are seconds of a monotonic clock.

    Attributes:
        period: seconds between two polls while all is well.
        snapshot: the newest that came, at `fresh_at`.
        failures: polls in a row that brought nothing; `error` is the newest one's.
    """

    period: float = 1.0
    snapshot: Snapshot | None = None
    fresh_at: float = 0.0
    failures: int = 0
    error: ApplianceError | None = None

    @property
    def status(self) -> Status | None:
        return None if self.snapshot is None else self.snapshot.status

    def succeeded(self, snapshot: Snapshot, now: float) -> "Link":
        return Link(self.period, snapshot, now)

    def failed(self, error: ApplianceError) -> "Link":
        return replace(self, failures=self.failures + 1, error=error)

    def age(self, now: float) -> float | None:
        """Seconds since the status came."""
        return None if self.snapshot is None else max(0.0, now - self.fresh_at)

    def state(self, now: float) -> LinkState:
        if self.error is not None:
            if isinstance(self.error.__cause__, PermissionError):
                return LinkState.DENIED
            return _BY_CODE.get(self.error.code, LinkState.DOWN)
        age = self.age(now)
        if age is None:
            return LinkState.CONNECTING
        return LinkState.STALE if age > _STALE_AFTER_POLLS * self.period else LinkState.LIVE

    @property
    def wait(self) -> float:
        """Doubles after each failure, up to 15 seconds."""
        return max(self.period, min(_LONGEST_WAIT, self.period * 2.0 ** min(self.failures, 8) / 2))


class Seldom(Generic[T]):
    """An answer for so many seconds, while its key stays; for the poller's thread alone."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._kept: tuple[object, float, T] | None = None

    def get(self, key: object, ask: Callable[[], T]) -> T:
        now, kept = self._clock(), self._kept
        if kept is not None and kept[0] == key and now - kept[1] < self._seconds:
            return kept[2]
        found = ask()
        self._kept = (key, now, found)
        return found


def or_else(ask: Callable[[], T], otherwise: T) -> T:
    """An answer, or `otherwise` where it cannot be had, such as from an older server."""
    try:
        return ask()
    except ApplianceError:
        return otherwise


def look(client: AdminClient, question: Question | None, status: Status | None = None) -> Snapshot:
    """Ask for the status unless known, the load and the screen's question.

    Raises:
        ApplianceError: the status did not come, or the server went away.
    """
    status = status or client.call(STATUS)
    try:
        load = client.call(LOAD)
    except (Refused, RequestRefused):
        load = None  # an older server, or none
    if question is None:
        return Snapshot(status, load)
    try:
        answer = question.ask(client)
    except (ServerUnreachable, OSError):
        raise
    except ApplianceError as error:
        answer = error
    return Snapshot(status, load, question.topic, answer)


def attempt(link: Link, fetch: Callable[[], Snapshot], clock: Callable[[], float]) -> Link:
    """One poll; whatever it raises becomes the link's error."""
    try:
        return link.succeeded(fetch(), clock())
    except ApplianceError as error:
        return link.failed(error)
    except OSError as error:
        return link.failed(ServerUnreachable("server_unreachable", f"{error}."))
    except Exception as error:  # a screen that stopped in silence would be worse than any of them
        kind = type(error).__name__
        return link.failed(Unavailable("incompatible_server", f"The poll failed: {kind}: {error}."))


class Poller:
    """A daemon thread that polls until it is stopped; it cannot keep the program from ending.

    Args:
        fetch: brings a snapshot or raises; called in the thread.
        notify: takes each poll's link; called in the thread, never after `stop`.
        period: seconds between two polls.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Snapshot],
        notify: Callable[[Link], None],
        *,
        period: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._notify = notify
        self._clock = clock
        self._link = Link(period)
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._poll, name="poller", daemon=True)

    def start(self) -> None:
        """The first poll is made at once."""
        self._thread.start()

    def poll_now(self) -> None:
        self._awake.set()

    def stop(self) -> None:
        """A poll under way is no longer reported."""
        with self._lock:
            self._stopped = True
        self._awake.set()

    def _poll(self) -> None:
        while True:
            link = attempt(self._link, self._fetch, self._clock)
            with self._lock:
                if self._stopped:
                    return
                self._link = link
                self._notify(link)
            # Programs that lost the same server do not all come back at the same moment.
            late = random.uniform(0.0, 0.2) * link.wait if link.failures else 0.0  # noqa: S311
            self._awake.wait(link.wait + late)
            self._awake.clear()
