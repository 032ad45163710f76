"""Files and batches: their database, and the upgrade of an older data directory."""

from appliance.wiring.access import AccessRoom
from appliance.wiring.batches import BatchRoom
from appliance.wiring.directory import HeldDirectory
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.routing import RoutingRoom


def test_a_directory_without_them_gets_an_empty_database(
    held: HeldDirectory, log: LogRoom, access: AccessRoom, pool: PoolRoom, routing: RoutingRoom
) -> None:
    database = held.data / "files.db"
    assert not database.exists()  # as initialise leaves it, and every release before
    room = BatchRoom(log, access, pool, routing)
    assert room.batches.store.live() == [] and database.stat().st_mode & 0o777 == 0o600
    assert pool.jobs.kind("batch").resumable
    limits = room.batches.policy.limits
    assert limits.line_bytes == held.config.server.max_body_bytes
    assert room._slots("org/unknown:1") >= 1
