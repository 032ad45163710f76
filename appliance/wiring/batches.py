"""Files and batches of apps: their database, their job, their limits."""

import contextlib

from sqlalchemy.exc import SQLAlchemyError

from appliance.batches.batches import Batches, BatchPolicy
from appliance.batches.files import KeptFiles
from appliance.batches.incoming import FileLimits
from appliance.batches.running import BatchParts
from appliance.batches.store import BatchStore
from appliance.db import open_database
from appliance.errors import ApplianceError
from appliance.wiring.access import AccessRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.routing import RoutingRoom
from appliance.wiring.schema import FILES

_UNKNOWN_SLOTS = 8
_STARVES = 2


class BatchRoom:
    """Puts the parts together."""

    def __init__(
        self, log: LogRoom, access: AccessRoom, pool: PoolRoom, routing: RoutingRoom
    ) -> None:
        held = log.held
        database = open_database(held.data / "files.db", FILES, erases=True)
        held.closing.callback(database.dispose)
        files = KeptFiles(database, held.clock, log.kek)
        self.store = BatchStore(database, held.clock, files)
        self._routing, config = routing, held.config.batches
        parts = BatchParts(files, self.store, access.keys, log.reader, held.clock, self._slots)
        limits = FileLimits(
            config.max_file_mib << 20,
            config.max_mib_per_key << 20,
            config.max_lines,
            held.config.server.max_body_bytes,
        )
        policy = BatchPolicy(limits, config.days * 86_400, _STARVES * config.after_seconds)
        self.batches = Batches(parts, pool.jobs, policy)
        with contextlib.suppress(SQLAlchemyError):  # such as a full disk: the next start does it
            self.store.tidy(starting=True)

    def _slots(self, model: str) -> int:
        """Of a model, a task or a route."""
        try:
            return self._routing.inference.slots(model)
        except ApplianceError:
            return _UNKNOWN_SLOTS
