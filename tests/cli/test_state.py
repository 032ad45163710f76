"""`appliance state`: differences, and the next step."""

import sqlite3

from tests.api.admin.lab import LabData
from tests.cli.conftest import Run


def test_a_state_that_agrees(run: Run) -> None:
    done = run("state", "show")
    assert done.status == 0 and "agree up to entry" in done.out
    assert run("state", "settle", "--reason", "why", "--json").code == (1, "state_agrees")


def test_a_key_that_nobody_revoked_back(run: Run, lab: LabData) -> None:
    made = run("key", "create", "app", "--json").document
    assert run("key", "revoke", made["id"]).status == 0
    connection = sqlite3.connect(lab.data / "appliance.db")
    connection.execute("UPDATE api_keys SET revoked_us = NULL")
    connection.commit()
    connection.close()
    shown = run("state", "show")
    assert f"The API key {made['id']} was withdrawn by entry" in shown.out
    assert "appliance state settle" in shown.out
    assert run("state", "settle", "--reason", "looked at", "--json").document["agrees"]
    (key,) = run("key", "list", "--json").document["keys"]
    assert key["state"] == "revoked"
