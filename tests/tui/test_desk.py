"""The state of every screen, and the person's rights."""

from pathlib import Path

import pytest

from appliance.errors import Forbidden
from appliance.types import Role
from tests.tui.scripted import DOWN, Script, Told, status
from tui.desk import Desk
from tui.link import Link, Snapshot


def desk(role: str = "operator", **more: object) -> Desk:
    made = Desk(Script(), Told(), Path("/d"), clock=lambda: 100.0, **more)  # type: ignore[arg-type]
    made.link = Link().succeeded(Snapshot(status(role=role)), 100.0)
    return made


@pytest.mark.parametrize(
    ("role", "needed", "may"),
    [
        ("viewer", Role.OPERATOR, False), ("operator", Role.OPERATOR, True),
        ("operator", Role.ADMIN, False), ("admin", Role.APPROVER, True), ("?", Role.VIEWER, False),
    ],
)  # fmt: skip
def test_a_role_decides(role: str, needed: Role, may: bool) -> None:
    assert desk(role).may(needed) is may


def test_read_only_hides_what_a_role_allows() -> None:
    assert desk("admin", readonly=True).may(Role.OPERATOR) is False


def test_without_a_server_only_what_needs_none() -> None:
    made = desk("admin")
    made.link = made.link.failed(DOWN)
    assert made.may(Role.ADMIN) is None
    assert made.may(Role.ADMIN, without_server=True) is True
    made.link = made.link.failed(Forbidden("forbidden", "no"))
    assert made.may(Role.ADMIN, without_server=True) is None


def test_old_data_allow_nothing() -> None:
    made = desk("admin")
    made.clock = lambda: 200.0
    assert made.may(Role.ADMIN) is None


def test_a_directory_counts_when_it_is_complete(tmp_path: Path) -> None:
    made = Desk(Script(), Told(), tmp_path)
    assert not made.initialised
    (tmp_path / "appliance.toml").touch()
    assert made.initialised
