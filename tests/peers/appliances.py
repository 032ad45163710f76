"""Small appliances of a site: a log, a database, a ring within the process."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.epoch import EpochLimits
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.forwarding.receivers import HttpAnswer
from appliance.peers.cosigning import NotCosigned
from appliance.peers.ring import RingPeer
from appliance.peers.seen_logs import TABLES, SeenLogs
from appliance.peers.witness import SENT, PeerKeys, Witness
from appliance.types import Json
from tests.audit.logs import admin, new_log, open_log
from tests.audit.segmented import open_segments

MINUTE_S = 60


@dataclass
class Member:
    name: str
    directory: Path
    log: AuditLog
    reader: LogReader
    heads: SeenLogs
    clock: FixedClock
    peers: dict[str, PeerKeys] = field(default_factory=dict)
    found: list[Mapping[str, Json]] = field(default_factory=list)

    def __post_init__(self) -> None:
        secret = sha256(self.name.encode()).digest()
        self.witness = Witness(
            self.reader.origin, secret, self.peers, self.heads, self.clock, self.found.append
        )

    @property
    def keys(self) -> PeerKeys:
        return PeerKeys(VerifierKey.parse(self.reader.genesis()), self.witness.key)

    def meets(self, other: "Member") -> None:
        """Know each other."""
        for one, two in ((self, other), (other, self)):
            one.peers[two.name] = two.keys
            one.witness._names[two.reader.origin] = two.name

    def write(self, *actions: str) -> None:
        self.log.append(*map(admin, actions)).result()

    def asks(self, other: "Member") -> RingPeer:
        return self.asks_of(other.name, other.witness)

    def asks_of(self, name: str, witness: Witness) -> RingPeer:
        def record(draft: Draft) -> object:
            return self.log.append(draft).result()

        return RingPeer(
            name, "http://127.0.0.1", self.peers[name], self.witness, self.reader,
            self.heads, self.clock, posting(witness), record,
        )  # fmt: skip


def posting(witness: Witness) -> Callable[[bytes, Mapping[str, str]], HttpAnswer]:
    """A call in place of a connection."""

    def post(body: bytes, head: Mapping[str, str]) -> HttpAnswer:
        try:
            return HttpAnswer(200, witness.add_checkpoint(body, base64.b64decode(head[SENT])))
        except NotCosigned as refused:
            said = refused.why if refused.size is None else str(refused.size)
            return HttpAnswer(refused.status, said.encode())

    return post


@contextmanager
def member(
    place: Path,
    name: str,
    clock: FixedClock,
    made: Path | None = None,
    epochs: EpochLimits | None = None,
    *,
    segmented: bool = False,
) -> Iterator[Member]:
    """Open one; `made` is the log of an earlier one."""
    place.mkdir(exist_ok=True)
    directory = made or new_log(place / "audit", f"{name}.example/audit")
    with ExitStack() as stack:
        opened = open_log(directory, clock=clock, epochs=epochs) if not segmented else None
        log = stack.enter_context(opened or open_segments(directory, clock))
        reader = LogReader(directory)
        stack.callback(reader.close)
        database = open_database(place / "appliance.db", (TABLES,))
        stack.callback(database.dispose)
        log.append(Draft("start", {})).result()
        yield Member(name, directory, log, reader, SeenLogs(database), clock)
