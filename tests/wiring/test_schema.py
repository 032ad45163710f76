"""The schema of appliance.db."""

from appliance.wiring.log import LogRoom
from appliance.wiring.schema import MIGRATIONS, SCHEMA


def test_a_new_database_has_seen_all_scripts_each_once(log: LogRoom) -> None:
    assert len(set(MIGRATIONS)) == len(MIGRATIONS) == SCHEMA
    with log.database.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA user_version").scalar() == SCHEMA
