"""This appliance as a witness: it cosigns heads of the logs that `[peers]` names.

Rules: the key follows from the secret of the log. Anybody can send old heads, which are in every
receipt: a contradicting head counts against its log only if the peer's witness signed the request.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import anchors, checkpoint, cosignature, ed25519
from appliance.audit.checkpoint import COSIGNATURES, VerifierKey
from appliance.clock import Clock
from appliance.errors import AuditRefused
from appliance.peers.cosigning import NotCosigned, SeenLog, extended
from appliance.peers.seen_logs import SeenLogs
from appliance.types import Json

PURPOSE = b"witness of other logs"
SENT = "x-appliance-witness"
"""The header in which the witness of a peer signs a request of its log, in base64."""
_STATEMENT = b"appliance witness request v1\n"


@dataclass(frozen=True)
class PeerKeys:
    """Keys of another appliance: the first one of its log, and that of its witness."""

    log: VerifierKey
    witness: VerifierKey


@dataclass(frozen=True)
class SeenPeer:
    """A peer's log as this appliance saw it.

    Attributes:
        size: entries of its newest head.
        seen_us: when that came; 0 for never.
        differs: why its log is not the one that was seen; "" where it is.
    """

    size: int
    seen_us: int
    differs: str = ""


class Witness:
    """Cosigns; callable from any thread.

    Args:
        origin: name of the own log.
        secret: 32 bytes that nobody else knows.
        peers: whose logs are known, by name.
        record: makes findings durable in the own log.
    """

    def __init__(
        self,
        origin: str,
        secret: bytes,
        peers: Mapping[str, PeerKeys],
        seen: SeenLogs,
        clock: Clock,
        record: Callable[[Mapping[str, Json]], object],
    ) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        public = self._key.public_key().public_bytes_raw()
        self.key = VerifierKey(f"{origin}/witness", public, COSIGNATURES)
        self._names = {keys.log.name: name for name, keys in peers.items()}
        self._peers = peers
        self._kept, self._clock, self._record = [seen], clock, record
        self._lock = threading.Lock()
        self._differs: dict[str, str] = {}
        self._told: set[tuple[str, bytes]] = set()

    def reads(self, more: SeenLogs) -> None:
        """Read a mirror's table, too."""
        self._kept.append(more)

    def sent(self, body: bytes) -> bytes:
        """Sign a request of the own log."""
        return self._key.sign(_STATEMENT + body)

    def add_checkpoint(self, body: bytes, sent: bytes = b"") -> bytes:
        """The cosignature line of a request's head.

        Args:
            sent: the signature of the peer's witness, if it came.

        Raises:
            NotCosigned: 400, 403, 404, 409 or 422.
        """
        try:
            request = anchors.read_request(body)
            origin = checkpoint.parse(request.note).checkpoint.origin
        except AuditRefused as error:
            raise NotCosigned(400, error.message) from error
        name = self._names.get(origin)
        if name is None:
            raise NotCosigned(404, "this log is not known here")
        genesis = self._peers[name].log

        def grown(seen: SeenLog) -> SeenLog:
            log = extended(seen, request)
            self._kept[0].see(genesis, log, self._clock.wall_us())
            return log

        return self.cosign(genesis, request.note, grown, own=self._is_of(name, body, sent))

    def cosign(
        self,
        genesis: VerifierKey,
        note: bytes,
        grown: Callable[[SeenLog], SeenLog],
        *,
        own: bool = True,
    ) -> bytes:
        """The cosignature line of a head; b"" where more was seen already.

        Args:
            grown: makes the log with the head durable, after what was seen; raises NotCosigned.
            own: whether the log's appliance sent it: what does not go with what was seen is noted.
        """
        with self._lock:
            seen = self.seen(genesis)
            name = self._names[genesis.name]
            try:
                log = grown(seen)
            except NotCosigned as refused:
                if refused.other and own:
                    self._note(name, refused.why, note)
                raise
            if log.size < seen.size:
                return b""
            self._differs.pop(name, None)
            return cosignature.cosigned(
                note, self.key, self._key, self._clock.wall_us() // 1_000_000
            )

    def seen(self, genesis: VerifierKey) -> SeenLog:
        return self._newest(genesis)[0]

    def peer(self, name: str) -> SeenPeer:
        log, seen_us = self._newest(self._peers[name].log)
        return SeenPeer(log.size, seen_us, self._differs.get(name, ""))

    def _newest(self, genesis: VerifierKey) -> tuple[SeenLog, int]:
        return max((one.seen(genesis) for one in self._kept), key=lambda found: found[0].size)

    def _is_of(self, name: str, body: bytes, sent: bytes) -> bool:
        return ed25519.holds(sent, _STATEMENT + body, self._peers[name].witness.public)

    def _note(self, name: str, why: str, note: bytes) -> None:
        self._differs[name] = why
        if (name, note) not in self._told:
            self._told.add((name, note))
            log = self.seen(self._peers[name].log)
            self._record({
                "action": "peer_log_differs", "actor": "appliance", "peer": name,
                "note": note.decode(), "seen_size": log.size, "seen_root": log.root.hex(),
            })  # fmt: skip
