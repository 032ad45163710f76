"""The log, the database next to it, and whether the two agree."""

import functools
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from appliance.audit.appending import append
from appliance.audit.content import KEY_BYTES
from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.datasets.ledger import LedgerLook
from appliance.datasets.marks import SplitMarks
from appliance.db import open_database, seal
from appliance.errors import StateRefused
from appliance.forwarding.cursors import ForwardCursors
from appliance.forwarding.forwarder import Forwarding
from appliance.forwarding.notifier import Notifier
from appliance.governance.agreement import Agreement
from appliance.host import at_rest
from appliance.metering.ledger import UsageLedger
from appliance.observability.metrics import Metrics
from appliance.peers.ring import PeerRing
from appliance.peers.seen_logs import SeenLogs
from appliance.types import Json
from appliance.wiring.directory import HeldDirectory, check_profile
from appliance.wiring.schema import MIGRATIONS, SEALED


class LogRoom:
    """Opens the log first: on a full disk it gives back blocks that the rest needs to open.

    Attributes:
        held: the data directory that all rooms are in.
        kek: reads the log's key-encryption keys.
        secret: of a purpose, a key that only the holder of the first of these can make.
        agree: has other appliances know a look; None without peers.
    """

    def __init__(self, held: HeldDirectory) -> None:
        self.held = held
        config, directory = held.config.audit, held.data / "audit"
        if LogFiles(directory).renewing.exists():
            raise StateRefused("kek_renewing", "Texts lie under two key-encryption keys.")
        self.audit = AuditLog.open(
            directory,
            clock=held.clock,
            content=config.content,
            reserve_bytes=config.reserve_mib << 20,
            ballast_bytes=config.ballast_mib << 20,
            epochs=EpochLimits(config.epoch_seconds, config.epoch_rows, config.epoch_idle_seconds),
        )
        held.closing.callback(self.audit.close)
        self.database = open_database(held.data / "appliance.db", MIGRATIONS, erases=True)
        held.closing.callback(self.database.dispose)
        self.reader = LogReader(directory)
        held.closing.callback(self.reader.close)
        check_profile(held.profile, self.reader.origin)
        self.kek = LogFiles(directory).key_encryption_key
        self.secret = functools.cache(
            lambda purpose: sha256(purpose + self.kek()[-KEY_BYTES:]).digest()
        )
        seal(self.database, at_rest.cipher_of(held.data, at_rest.DATABASE), SEALED)
        self.agreement = Agreement(self.database, self.reader, self.audit, held.clock, self.kek())
        self.agreement.begin()  # before the rows are read, and before anything is recorded
        held.closing.callback(self.agreement.close)
        self.metrics = Metrics()
        self.forwarding = Forwarding(
            held.config.forward,
            config.enterprise_number,
            held.data,
            self.reader,
            ForwardCursors(self.database),
            held.clock,
        )
        held.closing.callback(self.forwarding.stop)
        self.usage = UsageLedger(self.database, self.reader)
        self.ring = PeerRing(
            held.config.peers,
            held.data,
            self.secret,
            self.reader,
            SeenLogs(self.database),
            held.clock,
            lambda draft: self.audit.append(draft).result(),
        )
        held.closing.callback(self.ring.stop)
        self.agree: Callable[[LedgerLook, SplitMarks], Sequence[LedgerLook]] | None = None
        self.notifier = Notifier(held.config.notify, held.data, self.reader.origin)
        held.closing.callback(self.notifier.stop)

    def ask_the_site(self, agree: Callable[[LedgerLook, SplitMarks], Sequence[LedgerLook]]) -> None:
        self.agree = agree

    async def record(self, kind: str, fields: Mapping[str, Json]) -> None:
        """Returns when it is durable."""
        await append(self.audit, Draft(kind, fields))

    def decided(self, fields: Mapping[str, Json]) -> None:
        """A decision by hand or by rule; returns when it is durable."""
        self.audit.append(Draft("admin", fields)).result()
