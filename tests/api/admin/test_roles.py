"""Who gets which role."""

import grp
import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.admin.roles import RoleTable, allows, resolve_role, role_table
from appliance.config import RolesConfig
from appliance.types import Role

OWNER = 900
TABLE = RoleTable(
    users={1001: Role.VIEWER, 1002: Role.APPROVER}, groups={50: Role.OPERATOR, 60: Role.VIEWER}
)
roles = st.sampled_from(list(Role))
tables = st.builds(
    RoleTable,
    users=st.dictionaries(st.integers(1, 5), roles),
    groups=st.dictionaries(st.integers(1, 5), roles),
)


@pytest.mark.parametrize(
    ("uid", "gids", "role"),
    [
        (0, [], Role.ADMIN),
        (OWNER, [], Role.ADMIN),
        (1001, [], Role.VIEWER),
        (1001, [50], Role.OPERATOR),  # the highest of several
        (1002, [50, 60], Role.APPROVER),
        (1003, [60, 70], Role.VIEWER),
        (1003, [70], None),
        (50, [], None),  # a group's number is no user
        (1003, [0], None),  # root's group is not root
    ],
)
def test_a_role_comes_from_the_user_or_a_group(
    uid: int, gids: list[int], role: Role | None
) -> None:
    assert resolve_role(uid, gids, OWNER, TABLE) == role


@given(tables, st.integers(1, 5), st.sets(st.integers(1, 5)), st.integers(1, 5))
def test_another_group_never_takes_a_role_away(
    table: RoleTable, uid: int, gids: set[int], more: int
) -> None:
    before = resolve_role(uid, gids, OWNER, table)
    after = resolve_role(uid, gids | {more}, OWNER, table)
    assert before is None or (after is not None and allows(after, before))


@given(st.integers(1, 5), st.sets(st.integers(1, 5)))
def test_by_default_everyone_else_is_denied(uid: int, gids: set[int]) -> None:
    assert resolve_role(uid, gids, OWNER, role_table(RolesConfig())) is None


def test_a_role_may_do_what_the_lower_ones_may() -> None:
    order = list(Role)
    for needed in order:
        assert [allows(role, needed) for role in order] == [
            order.index(role) >= order.index(needed) for role in order
        ]


def test_names_are_looked_up_once() -> None:
    user, group = pwd.getpwall()[-1], grp.getgrall()[-1]
    table = role_table(RolesConfig(viewer=(user.pw_name, group.gr_name, "12345")))
    assert table.users[user.pw_uid] == table.users[12345] == Role.VIEWER
    assert table.groups[group.gr_gid] == Role.VIEWER
    assert table.unresolved == ()


def test_an_unknown_name_gives_nobody_a_right_and_is_reported() -> None:
    table = role_table(RolesConfig(admin=("no such user",)))
    assert table == RoleTable({}, {}, ("no such user",))


def test_a_name_in_two_roles_has_the_higher_one() -> None:
    uid = str(os.getuid() + 1)
    table = role_table(RolesConfig(viewer=(uid,), admin=(uid,), operator=(uid,)))
    assert table.users == {int(uid): Role.ADMIN}


def test_a_group_of_people_gives_a_role_beside_the_users_own() -> None:
    table = role_table(RolesConfig(operator=("people:it", "12"), admin=("people:chiefs",)))
    assert (table.people, table.unresolved) == ({"it": Role.OPERATOR, "chiefs": Role.ADMIN}, ())
    told = [
        resolve_role(11, [], OWNER, table, people) for people in ((), ("it",), ("it", "chiefs"))
    ]
    assert told == [None, Role.OPERATOR, Role.ADMIN]
    assert resolve_role(12, [], OWNER, table, ("other",)) == Role.OPERATOR
