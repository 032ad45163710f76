"""The ring: once a minute each peer is asked to cosign the newest head of the own log.

Rules: a cosigned head is recorded once an hour, and only if the log grew by more than such heads. A
peer that saw more, or something else, than this log has is reported: one of the two was put back or
changed.
"""

import base64
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy.exc import SQLAlchemyError

from appliance.audit import anchors
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.cosignature import witness_key
from appliance.audit.log import Draft
from appliance.audit.reader import LogReader
from appliance.clock import Clock
from appliance.config import PeerConfig
from appliance.errors import ApplianceError, AuditRefused, UsageError
from appliance.peers.seen_logs import CosignedHead, SeenLogs
from appliance.peers.witness import PURPOSE, SENT, PeerKeys, Witness
from appliance.registry.audit_entries import SYSTEM

if TYPE_CHECKING:
    from appliance.forwarding.receivers import HttpAnswer

PATH: Final = "/witness/add-checkpoint"
DOCUMENTS: Final = "/site/documents"
RECEIPTS: Final = "/site/receipts"
LOOKS: Final = "/site/looks"
ENTRIES: Final = "/site/entries"
QUOTAS: Final = "/site/quotas"
"""The addresses of `peers.exchange`, which not every appliance loads."""
EVERY_S: Final = 60.0
_RECORD_US: Final = 3_600_000_000
_PATIENCE_S: Final = 5.0
_FEW: Final = 64
_log = logging.getLogger("appliance")


@dataclass(frozen=True)
class PeerStanding:
    """State of one peer; times are microseconds of the wall clock.

    Attributes:
        cosigned: entries of our log that its witness cosigned.
        cosigned_us: when it said so last; 0 for never.
        seen: entries of its log that we saw.
        seen_us: when; 0 for never.
        problem: why it does not cosign now; "" where it does.
        differs: how its log differs from what we saw, or ours from what it saw.
        since_us: since when the server watches.
    """

    name: str
    url: str
    cosigned: int
    cosigned_us: int
    seen: int
    seen_us: int
    problem: str
    differs: str
    since_us: int

    @property
    def met_us(self) -> int:
        """The last time at which each had seen the other's log, or the server's start."""
        return max(self.since_us, min(self.cosigned_us, self.seen_us))


class RingPeer:
    """Asks one peer.

    Args:
        post: sends a body with headers; raises OSError or ApplianceError.
        record: makes an entry durable.
    """

    def __init__(
        self,
        name: str,
        url: str,
        keys: PeerKeys,
        witness: Witness,
        reader: LogReader,
        heads: SeenLogs,
        clock: Clock,
        post: "Callable[[bytes, Mapping[str, str]], HttpAnswer]",
        record: Callable[[Draft], object],
    ) -> None:
        self.name, self._url, self._keys = name, url, keys
        self._witness, self._reader, self._heads = witness, reader, heads
        self._clock, self._post, self._record = clock, post, record
        self._since_us = clock.wall_us()
        self._cosigned_us, self._problem, self._differs = 0, "", ""

    @property
    def standing(self) -> PeerStanding:
        seen = self._witness.peer(self.name)
        return PeerStanding(
            self.name, self._url, self._heads.cosigned(self._keys.witness).size,
            self._cosigned_us, seen.size, seen.seen_us, self._problem,
            seen.differs or self._differs, self._since_us,
        )  # fmt: skip

    def ask(self) -> None:
        """Ask once; `standing` has the problem then."""
        try:
            self._take(*self._asked())
        except _Differs as error:
            self._say("", str(error))
        except (OSError, ValueError, ApplianceError, SQLAlchemyError) as error:
            self._say(str(error) or type(error).__name__, self._differs)
        else:
            self._cosigned_us = self._clock.wall_us()
            self._say("", "")

    def _asked(self) -> tuple[bytes, bytes]:
        seen = self._heads.cosigned(self._keys.witness).size
        for _ in range(2):
            size = self._reader.size
            if seen > size:
                with contextlib.suppress(OSError, ApplianceError):  # it names this log, too
                    self._posted(size)
                raise _Differs(f"it saw {seen} entries, and this log has {size}: it was put back")
            body, answer = self._posted(seen)
            said = answer.body.decode("utf-8", "replace").strip()[:200]
            if answer.status == 409:
                seen = int(said)
                continue
            if answer.status == 422 or (answer.status == 403 and seen):
                raise _Differs(f"it saw another log than this one: {said}")
            if answer.status != 200:
                raise ConnectionError(f"its witness answered {answer.status}: {said}")
            return anchors.read_request(body).note, answer.body
        raise ConnectionError("its witness asks for another head each time")

    def _posted(self, seen: int) -> "tuple[bytes, HttpAnswer]":
        body = self._reader.witness_request(self._keys.witness, seen)
        sent = base64.b64encode(self._witness.sent(body)).decode()
        return body, self._post(body, {"Content-Type": "text/plain", SENT: sent})

    def _take(self, note: bytes, line: bytes) -> None:
        keys, now_us = self._keys, self._clock.wall_us()
        draft = self._reader.witnessed(note + line, keys.witness, SYSTEM)
        size = cast(int, draft.fields["size"])
        before = self._heads.cosigned(keys.witness)
        recorded, recorded_us = before.recorded, before.recorded_us
        if abs(now_us - recorded_us) >= _RECORD_US and self._grew(recorded):
            self._record(draft)
            recorded, recorded_us = size, now_us
        self._heads.take(keys.witness, CosignedHead(size, recorded, recorded_us))

    def _grew(self, since: int) -> bool:
        first = max(since, self._reader.first)
        return any(one.kind != "witness" for one in self._reader.range(first, _FEW))

    def _say(self, problem: str, differs: str) -> None:
        if bool(problem or differs) != bool(self._problem or self._differs):
            if problem or differs:
                _log.warning("peer %s does not cosign the log: %s", self.name, problem or differs)
            else:
                _log.info("peer %s cosigns the log", self.name)
        self._problem, self._differs = problem, differs


class Rounds:
    """Threads, each of which asks again and again.

    Args:
        every_s: the pause after each time.
        asks: by the names of the threads.
    """

    def __init__(self, every_s: float, asks: Mapping[str, Callable[[], None]]) -> None:
        self._every_s, self._stop = every_s, threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(ask,), name=name, daemon=True)
            for name, ask in asks.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after the requests under way."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_PATIENCE_S)

    def _repeat(self, ask: Callable[[], None]) -> None:
        while not self._stop.is_set():
            ask()
            self._stop.wait(self._every_s)


class PeerRing(Rounds):
    """All peers of `[peers]`, and the witness for them."""

    def __init__(
        self,
        peers: Mapping[str, PeerConfig],
        data: Path,
        secret: Callable[[bytes], bytes],
        reader: LogReader,
        heads: SeenLogs,
        clock: Clock,
        record: Callable[[Draft], object],
    ) -> None:
        keys = {name: keys_of(name, peer) for name, peer in peers.items()}
        self.witness = Witness(
            reader.origin, secret(PURPOSE), keys, heads, clock,
            lambda fields: record(Draft("admin", fields)),
        )  # fmt: skip
        self._peers = [
            RingPeer(
                name, peer.url, keys[name], self.witness, reader, heads, clock,
                _poster(peer, data), record,
            )
            for name, peer in peers.items()
        ]  # fmt: skip
        super().__init__(EVERY_S, {f"peer-{peer.name}": peer.ask for peer in self._peers})

    @property
    def standings(self) -> list[PeerStanding]:
        return [peer.standing for peer in self._peers]


def keys_of(name: str, peer: PeerConfig) -> PeerKeys:
    """The keys of a peer. Raises UsageError (`config_invalid`)."""
    try:
        log, witness = (
            VerifierKey.parse(peer.log_key.encode()),
            witness_key(peer.witness_key.encode()),
        )
    except AuditRefused as error:
        message = f"[peers.{name}]: a key is not what `appliance site key` prints there."
        raise UsageError("config_invalid", message, param=f"peers.{name}") from error
    return PeerKeys(log, witness)


def _poster(peer: PeerConfig, data: Path) -> "Callable[[bytes, Mapping[str, str]], HttpAnswer]":
    from appliance.forwarding.receivers import KeptConnection, tls_of  # of a site that has peers

    def post(body: bytes, head: Mapping[str, str]) -> "HttpAnswer":
        tls = peer.url.startswith("https:")
        kept = KeptConnection(lambda: tls_of(peer, data) if tls else None)
        with contextlib.closing(kept) as connection:
            return connection.post(peer.url.rstrip("/") + PATH, body, head)

    return post


class _Differs(Exception):
    """The peer knows another log under this name."""
