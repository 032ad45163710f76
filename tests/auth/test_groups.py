"""Groups of API keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from appliance.auth import groups, key
from appliance.auth.groups import MOST_MEMBERS, KeyGroups
from appliance.auth.keys import KeyStore
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import StateRefused

TABLES = (key.TABLES, key.SHARES, key.CONTENT, key.EXAMPLES, key.TASKS, key.PEOPLE, groups.TABLES)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(tmp_path / "x.db", TABLES)
    yield opened
    opened.dispose()


def test_groups_are_kept(database: Engine) -> None:
    store = KeyStore(database, FixedClock())
    first, second = (store.create(name)[0].id for name in ("a", "b"))
    made = KeyGroups(database)
    assert made.change("fitters", [first, second], []) == tuple(sorted([first, second]))
    made.change("office", [first], [])
    again = KeyGroups(database)
    assert again.of(first) == ("fitters", "office") and again.of(second) == ("fitters",)
    assert again.change("office", [], [first]) == ()
    assert list(again.all()) == ["fitters"] and again.of(first) == ("fitters",)
    assert list(KeyGroups(database).all()) == ["fitters"]


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a\n", "x" * 65])
def test_names_are_plain(database: Engine, name: str) -> None:
    made = KeyGroups(database)
    with pytest.raises(StateRefused) as refused:
        made.change(name, [], [])
    assert refused.value.code == "invalid_value" and made.all() == {}


def test_unknown_keys_are_refused_and_nothing_changes(database: Engine) -> None:
    store, made = KeyStore(database, FixedClock()), KeyGroups(database)
    known = store.create("a")[0].id
    with pytest.raises(StateRefused) as refused:
        made.change("g", [known, "nobody"], [])
    assert refused.value.code == "unknown_key_id"
    assert made.all() == {} and KeyGroups(database).all() == {}


def test_groups_are_bounded(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_MEMBERS", 1)
    store, made = KeyStore(database, FixedClock()), KeyGroups(database)
    ids = [store.create(name)[0].id for name in ("a", "b")]
    with pytest.raises(StateRefused):
        made.change("g", ids, [])
    assert made.all() == {} and MOST_MEMBERS > 1
