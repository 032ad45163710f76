"""Mirrors of the own log: an answer leaves once another appliance has its entry on the disk.

Rules:
- The first mirror that cosigned enough is enough. The next one follows a little later, or at once
  where the first takes nothing: both at once are twice the work.
- A mirror says how much it keeps; only its cosignature is believed.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.anchors import LogBatch
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.cosignature import verify_cosigned
from appliance.audit.pruning import SignedPrune
from appliance.audit.reader import LogReader
from appliance.errors import ApplianceError, Unavailable
from appliance.peers.mirror import MirrorTold

LINKS: Final = 2
"""Mirrors of one log: those that follow it by name."""
EVERY_S: Final = 2.0
AWAY_S: Final = 180.0
"""Seconds until a failing mirror is an alarm."""
_AGAIN_S: Final = 0.25
_FOLLOWS_S: Final = 0.25
_SOON_S: Final = 0.01
_log = logging.getLogger("appliance")


class MirrorLink:
    """One mirror of the own log.

    Args:
        ask: sends a batch, or asks where to begin.
        rest: called when nothing is new.

    Attributes:
        size: entries of the head that it cosigned.
        problem: why it takes none now; "" where it does.
        refused: as of `MirrorTold`.
    """

    def __init__(
        self,
        name: str,
        witness: VerifierKey,
        reader: LogReader,
        ask: Callable[[LogBatch | None, SignedPrune | None], MirrorTold],
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self._witness, self._reader, self._ask = name, witness, reader, ask
        self.rest, self._now = rest, time.monotonic
        self._failed: float | None = None
        self._place: int | None = None
        self._batch: LogBatch | None = None
        self.first, self.size, self.problem, self.refused = 0, 0, "", ""

    @property
    def failure(self) -> str:
        """Why it fails, or ""."""
        return self.problem or self.refused

    @property
    def away(self) -> bool:
        """True if it has failed for `AWAY_S`."""
        return self._failed is not None and self._now() - self._failed >= AWAY_S

    def has(self, seq: int) -> bool:
        """True if it keeps an entry under a head that it cosigned."""
        return self.first <= seq < self.size

    def send(self, waits: int | None = None) -> None:
        """Send what is new; sets `problem`.

        Args:
            waits: the oldest entry that an answer waits for; a new mirror begins there.
        """
        try:
            self._send(waits)
        except (OSError, ValueError, ApplianceError, SQLAlchemyError) as error:
            self._place = None
            self.problem = str(error).partition("\n")[0] or type(error).__name__
        else:
            self.problem = ""
        if not self.failure:
            self._failed = None
        elif self._failed is None:
            self._failed = self._now()

    def _send(self, waits: int | None) -> None:
        if waits is not None and waits < self.first:  # it began with a later entry
            self._place = None
        known, first, keeps = None, self._place, self.first
        if first is None:
            told = self._ask(None, None)
            if 0 < told.size < self._reader.first:  # what follows was pruned here
                told = self._ask(None, self._reader.pruned())
                if told.refused:
                    raise ConnectionError(told.refused)
            known, keeps = told.size, told.first
            first = known or None
            if waits is not None and (not known or waits < told.first):
                first = waits
        self._batch = batch = self._reader.batch(first, known, self._batch)
        if self._place == batch.size == self.size:
            self.rest()
            return
        told = self._told(batch, self._reader.pruned() if keeps < batch.oldest else None)
        if told.refused != self.refused and told.refused:
            _log.warning("mirror %s keeps what was pruned: %s", self.name, told.refused)
        self.refused = told.refused
        if told.size != batch.size:  # it was put back, or heard of the log elsewhere
            self._place = None
            return
        self._place = told.size
        if told.line:
            note = batch.note + told.line.encode()
            head, _ = verify_cosigned(note, self._reader.origin, self._witness)
            self.first, self.size = told.first, head.size

    def _told(self, batch: LogBatch, pruned: SignedPrune | None) -> MirrorTold:
        """An older release takes no approvals."""
        try:
            return self._ask(batch, pruned)
        except ConnectionError as error:
            if pruned is None:
                raise
            return replace(self._ask(batch, None), refused=str(error))


class Mirroring:
    """All mirrors of the own log.

    Args:
        milliseconds: that an answer waits for one.
        refuse: whether it is refused then.
    """

    def __init__(self, links: Sequence[MirrorLink], milliseconds: int, *, refuse: bool) -> None:
        self.links = links
        self._wait_s, self._refuse = milliseconds / 1_000, refuse
        self._changed = threading.Condition()
        self._wanted, self._stop = 0, False
        self._waiting: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._threads = [
            threading.Thread(target=self._run, args=(link,), name=f"mirror-{n}", daemon=True)
            for n, link in enumerate(links)
        ]

    def has(self, seq: int) -> bool:
        return any(link.has(seq) for link in self.links)

    def away(self) -> Iterator[tuple[str, str]]:
        """Mirrors that are away, and why."""
        return ((link.name, link.failure) for link in self.links if link.away)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(EVERY_S)

    async def acknowledged(self, seq: int) -> None:
        """Wait until a mirror has an entry.

        Raises:
            Unavailable: `mirror_unavailable` where none has it in time and answers are refused.
        """
        loop = asyncio.get_running_loop()
        waiter = seq, loop, loop.create_future()
        with self._changed:
            if self.has(seq):
                return
            self._waiting.append(waiter)
            self._wanted = max(self._wanted, seq + 1)
            self._changed.notify_all()
        try:
            await asyncio.wait_for(waiter[2], self._wait_s)
        except TimeoutError as error:
            if self._refuse:
                message = f"No other appliance has entry {seq} of the log."
                raise Unavailable("mirror_unavailable", message) from error
        finally:
            with self._changed:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)

    def _run(self, link: MirrorLink) -> None:
        while not self._stop:
            before, first, problem = link.size, link.first, link.problem
            link.send(self._oldest())
            if bool(link.problem) != bool(problem):
                told = f"takes no entries: {link.problem}" if link.problem else "takes entries"
                _log.info("mirror %s %s", link.name, told)
                with self._changed:  # another one may have to go first
                    self._changed.notify_all()
            if link.size > before or link.first < first:
                self._tell()
            with self._changed:
                older = any(seq < link.first for seq, _, _ in self._waiting)
                wanted = older or self._wanted > link.size
                if link.problem or not wanted:
                    self._changed.wait(_AGAIN_S if wanted else EVERY_S)
                elif link.size == before:  # it goes on from elsewhere
                    self._changed.wait(_SOON_S)
                self._changed.wait_for(lambda: self._stop or self._is_next(link), _FOLLOWS_S)
        link.rest()

    def _is_next(self, link: MirrorLink) -> bool:
        """True where none before it takes entries."""
        before = self.links[: self.links.index(link)]
        return all(one.problem or not one.size for one in before)

    def _oldest(self) -> int | None:
        with self._changed:
            return min((seq for seq, _, _ in self._waiting), default=None)

    def _tell(self) -> None:
        """Wake the answers that a mirror has the entry of."""
        with self._changed:
            done = [one for one in self._waiting if self.has(one[0])]
            self._waiting = [one for one in self._waiting if one not in done]
        for _, loop, told in done:
            loop.call_soon_threadsafe(_done, told)


def _done(told: "asyncio.Future[None]") -> None:
    if not told.done():
        told.set_result(None)
