"""`appliance key …`."""

import pytest

from appliance.runtime import open_services
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run


def test_the_secret_is_printed_once_and_works(lab: LabData, run: Run) -> None:
    made = run("key", "create", "app", "--models", "a, b", "--json").document
    assert (made["name"], made["role"], made["models"]) == ("app", "app", ["a", "b"])
    listed = run("key", "list", "--json")
    assert made["secret"] not in listed.out
    assert [key["id"] for key in listed.document["keys"]] == [made["id"]]
    with open_services(lab.data) as services:
        assert services.keys.authenticate(made["secret"]).name == "app"


def test_stdout_is_the_secret_alone(run: Run) -> None:
    done = run("key", "create", "app")
    assert done.out.startswith("sk-") and done.out.count("\n") == 1
    assert done.out.strip() not in done.err


def test_a_revoked_key_says_so(run: Run) -> None:
    made = run("key", "create", "app", "--json").document
    assert "[+] valid" in run("key", "list").out
    assert run("key", "revoke", made["id"], "--json").document["revoked"] is True
    assert "[!] revoked" in run("key", "list").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create", ""], "invalid_value"),
        (["create", "x" * 65], "invalid_key_name"),
        (["create", "app", "--role", "root"], "invalid_value"),
        (["create", "app", "--expires", "soon"], "invalid_value"),
        (["revoke", "0123456789ab"], "unknown_key_id"),
    ],
)
def test_refusals(run: Run, arguments: list[str], code: str) -> None:
    assert run("key", *arguments, "--json").code == (1, code)


def test_no_keys(run: Run) -> None:
    assert run("key", "list").out == "no keys\n"
