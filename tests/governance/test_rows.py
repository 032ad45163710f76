"""Mending a row to its entries; the whole is in test_agreement.py."""

import hashlib
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from appliance.app import initialise, open_services
from appliance.datasets.ledger import LedgerLook, groups_digest
from appliance.datasets.marks import SplitMarks
from appliance.governance import rows
from appliance.governance.log_state import ProvenFacts, UnprovenRow


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
        said = ProvenFacts(0, {"models": ["m"], "limits": {"rpm": 3}, "old_sha256": None})
        found = [
            UnprovenRow("api_keys", one.id, "unlogged"),
            UnprovenRow("api_keys", two.id, "edited", ("models",), 1, said),
        ]
        with services.agreement._database.begin() as connection:
            rows.mend(connection, found, 7)
        services.keys.read()
        assert services.keys.get(one.id).revoked_us == 7
        mended = services.keys.get(two.id)
        assert (mended.models, mended.limits.rpm, mended.revoked_us) == (("m",), 3, None)


def test_the_marks_of_a_look_are_one_digest_of_their_sorted_lines(tmp_path: Path) -> None:
    """As in an entry; SQLite computes it, since a look has hundreds of thousands."""
    initialise(tmp_path / "data", "lab")
    marks = SplitMarks(frozenset({"n2", "n1"}), frozenset({"c1"}), ("b:a", "a:c"))
    with open_services(tmp_path / "data") as services:
        wanted = LedgerLook("s", 1, "t", "td", "d", "dd", "certify", "anna", 50_000, 1)
        services.ledger.take(wanted, marks, lambda _look, _number: 5)
        services.ledger.take(
            replace(wanted, id="other", job=2),
            SplitMarks(frozenset({"x"}), frozenset()),
            lambda _look, _number: 6,
        )
        with services.agreement._database.begin() as connection:
            found = rows.read(connection)["looks"]
    assert found["s"].values["groups_sha256"] == groups_digest(marks)
    lines = "\n".join(("a 0", "a 1", "b 0", "c 1"))
    assert found["s"].values["items_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert found["other"].values["items_sha256"] == hashlib.sha256(b"").hexdigest()
