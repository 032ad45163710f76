"""What makes a row as strict as its entries; the whole is in test_agreement.py."""

from pathlib import Path

from sqlalchemy import text

from appliance.app import initialise, open_services
from appliance.governance import rows
from appliance.governance.proven import Difference, Facts


def test_each_table_is_read(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data") as services:
        services.keys.create("app")
        with services.agreement._database.begin() as connection:
            found = rows.read(connection)
            tables = {
                str(name)
                for (name,) in connection.execute(
                    text("SELECT name FROM sqlite_master WHERE type = 'table'")
                )
            }
    assert found.keys() <= tables
    assert len(found["api_keys"]) == 1


def test_a_key_without_an_entry_ends_and_one_that_was_edited_is_as_it_was(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data") as services:
        one, two = services.keys.create("one")[0], services.keys.create("two")[0]
        said = Facts(0, {"models": ["m"], "limits": {"rpm": 3}, "old_sha256": None})
        found = [
            Difference("api_keys", one.id, "unlogged"),
            Difference("api_keys", two.id, "edited", ("models",), 1, said),
        ]
        with services.agreement._database.begin() as connection:
            rows.mend(connection, found, 7)
        services.keys.read()
        assert services.keys.get(one.id).revoked_us == 7
        mended = services.keys.get(two.id)
        assert (mended.models, mended.limits.rpm, mended.revoked_us) == (("m",), 3, None)
